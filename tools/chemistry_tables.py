#!/usr/bin/env python3
"""Writes the core's typical cells per chemistry: crates/bms-core/src/estimation/chemistry_tables.rs. Needs nothing but Python.

Sources of the open-circuit voltages, all permissive:
* Li-ion: LG M50 (NMC811 against graphite-SiOx), C.-H. Chen et al., J. Electrochem. Soc. 167 (2020) 080534, the functions and
  stoichiometry limits as distributed with PyBaMM 25.6 (BSD-3-Clause).
* LiFePO4: cathode of Afshar et al. (2017) against the same graphite, as in PyBaMM's set `Prada2013` (BSD-3-Clause), raised by
  25 mV: rested cells of the usual makers stand at 3.29 V at 50 % and 3.33 V above 75 %.
* LTO: no permissive measured set was found. Round figures of the project.
The hysteresis of LiFePO4 and all resistances (for one ampere-hour, with their growth in the cold) are round figures of the
project for common prismatic and cylindrical cells, not measurements of any particular one.
"""
from math import exp, log2, tanh
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "crates" / "bms-core" / "src" / "estimation" / "chemistry_tables.rs"
POINTS = 65
KNOTS = [0, 50, 100, 150, 200, 300, 400, 550, 700, 850, 1000]
TEMPERATURES = [-200, -100, 0, 100, 250, 450]
LAGS = (8, 100, 1500)


def graphite(x):
    return (1.9793 * exp(-39.3631 * x) + 0.2482 - 0.0909 * tanh(29.8538 * (x - 0.1234))
            - 0.04478 * tanh(14.9159 * (x - 0.2769)) - 0.0205 * tanh(30.4444 * (x - 0.6103)))


def nmc811(y):
    return (-0.8090 * y + 4.4875 - 0.0428 * tanh(18.5138 * (y - 0.5542)) - 17.7326 * tanh(15.7890 * (y - 0.3117))
            + 17.5842 * tanh(15.9308 * (y - 0.3120)))


def iron_phosphate(y):
    return 3.4077 - 0.020269 * y + 0.5 * exp(-150 * y) - 0.9 * exp(-30 * (1 - y))


def between(low, high, s):
    return low + (high - low) * s


def li_ion(s):
    return nmc811(between(0.8539, 0.2638, s)) - graphite(between(0.0263, 0.9106, s))


def lifepo4(s):
    return 0.025 + iron_phosphate(between(0.95, 0.02, s)) - graphite(between(0.02, 0.81, s))


def lto(s):
    points = [(0, 1.9), (0.03, 2.02), (0.1, 2.12), (0.25, 2.2), (0.5, 2.28), (0.7, 2.36), (0.9, 2.47), (0.97, 2.56), (1, 2.64)]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if s <= x1:
            return y0 + (y1 - y0) * (s - x0) / (x1 - x0)
    return points[-1][1]


# name, open-circuit voltage, hysteresis half-width in V, its rate, resistances in µΩ·Ah (ohmic and behind the three lags),
# activation in K, tuning, what
CELLS = [
    ("LI_ION", li_ion, 0.0, 0, (60_000, 20_000, 18_000, 25_000), 2_800, "TYPICAL_SLOPED", "Typical NMC or NCA against graphite"),
    ("LIFEPO4", lifepo4, 0.010, 10, (45_000, 18_000, 20_000, 35_000), 3_000, "TYPICAL_FLAT", "Typical LiFePO4 against graphite"),
    ("LTO", lto, 0.0, 0, (18_000, 8_000, 7_000, 8_000), 2_000, "TYPICAL_SLOPED", "Typical LTO"),
]
# How the resistances grow towards empty.
SHAPE = [3.0, 2.0, 1.5, 1.3, 1.15, 1.05, 1.0, 1.0, 1.0, 1.0, 1.1]


def main():
    grid = [k / (POINTS - 1) for k in range(POINTS)]
    text = ["//! Typical cells, written by tools/chemistry_tables.py; sources and licences stand there and in docs/state-of-charge.md.\n\n"
            "use super::chemistry::{TYPICAL_FLAT, TYPICAL_SLOPED};\nuse super::model::CellModel;\n"]
    for name, voltage, half, rate, ohms, activation, tuning, what in CELLS:
        values = [max(voltage(s), 0) for s in grid]
        values = [round(max(values[: k + 1]) * 1e4) for k in range(POINTS)]
        rows = []
        for tenths in TEMPERATURES:
            growth = exp(activation * (1 / (tenths / 10 + 273.15) - 1 / 298.15))
            rows.append([[round(2048 * log2(ohm * shape * growth)) for ohm in ohms] for shape in SHAPE])
        body = ",\n    ".join("[\n" + "".join(f"        {row},\n" for row in table) + "    ]" for table in rows)
        hysteresis = f"&[{round(half * 1e4)}, {round(half * 1e4)}]" if half else "&[]"
        text.append(f"""
/// {what}.
pub const {name}: CellModel = CellModel {{
    open_circuit: &{values},
    hysteresis: {hysteresis},
    hysteresis_rate: {rate},
    entropic: &[],
    temperatures: &{TEMPERATURES},
    soc_permille: &{KNOTS},
    resistances: &[
    {body},
    ],
    lag_seconds: {list(LAGS)},
    capacity: None,
    tuning: &{tuning},
}};
""")
    OUT.write_text("".join(text))


if __name__ == "__main__":
    main()
