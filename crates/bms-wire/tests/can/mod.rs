//! A frame of a bus in software.
use embedded_can::Id;

#[derive(Clone, Debug)]
pub struct Frame {
    pub id: u32,
    pub data: Vec<u8>,
}
impl embedded_can::Frame for Frame {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        Some(Self { id: bms_wire::can::number(id.into()), data: data.to_vec() })
    }
    fn new_remote(_: impl Into<Id>, _: usize) -> Option<Self> {
        None
    }
    fn is_extended(&self) -> bool {
        self.id > 0x7ff
    }
    fn is_remote_frame(&self) -> bool {
        false
    }
    fn id(&self) -> Id {
        bms_wire::can::identifier(self.id, 0).unwrap()
    }
    fn dlc(&self) -> usize {
        self.data.len()
    }
    fn data(&self) -> &[u8] {
        &self.data
    }
}
