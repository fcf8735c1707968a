//! What is stored survives everything that a flash does.

use bms_host::flash::campaign::sequence;

#[test]
fn nothing_is_lost_wherever_the_power_is_cut() {
    let began = std::time::Instant::now();
    let mut figures = sequence::<4, 2048>(1, 100, 3);
    figures.add(sequence::<8, 2048>(2, 100, 2));
    figures.add(sequence::<1, 2048>(3, 30, 3));
    figures.add(sequence::<4, 4096>(4, 100, 2));
    figures.add(sequence::<32, 8192>(5, 100, 2));
    println!("{:?} {figures:#?}", began.elapsed());
    assert_eq!(figures.lost, 0);
}
