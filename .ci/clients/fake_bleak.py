"""A bleak backend whose radio is a served board; patched in place of the platform's own."""
import asyncio
import uuid

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

ADDRESS = "C8:47:8C:00:00:01"
SERVICE = "0000ffe0-0000-1000-8000-00805f9b34fb"
CHARACTERISTIC = "0000ffe1-0000-1000-8000-00805f9b34fb"


class ServedClient(BaseBleakClient):
    """The recommended table: one service FFE0, one characteristic FFE1 (write, write without response, notify)."""

    board = None
    mtu = 185

    def __init__(self, address_or_ble_device, **kwargs):
        super().__init__(address_or_ble_device, **kwargs)
        self.open = False
        self.loop = None

    @property
    def mtu_size(self):
        return self.mtu

    @property
    def is_connected(self):
        return self.open

    async def connect(self, pair=False, **kwargs):
        self.loop = asyncio.get_running_loop()
        self.board.connected(self.mtu)
        services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, SERVICE)
        services.add_service(service)
        services.add_characteristic(BleakGATTCharacteristic(
            None, 4, CHARACTERISTIC, ["write", "write-without-response", "notify"], lambda: self.mtu - 3, service))
        self.services = services
        self.open = True

    async def disconnect(self):
        if self.open:
            self.open = False
            self.board.listener = lambda data: None
            self.board.disconnect(self.mtu)
            if self._disconnected_callback:
                self._disconnected_callback()

    async def pair(self, *args, **kwargs):
        raise BleakError("no pairing")

    async def unpair(self):
        raise BleakError("no pairing")

    async def read_gatt_char(self, characteristic, **kwargs):
        raise BleakError("not readable")

    async def read_gatt_descriptor(self, descriptor, **kwargs):
        raise BleakError("not readable")

    async def write_gatt_char(self, characteristic, data, response):
        self.board.write_characteristic(data)

    async def write_gatt_descriptor(self, descriptor, data):
        raise BleakError("not writable")

    async def start_notify(self, characteristic, callback, **kwargs):
        def listener(data):
            self.loop.call_soon_threadsafe(callback, bytearray(data))
        self.board.listener = listener
        self.board.subscribe()

    async def stop_notify(self, characteristic):
        self.board.listener = lambda data: None
        self.board.write(b"U\n")


def install(board, mtu=185):
    """Every BleakClient made from now on talks to this board."""
    import bleak
    ServedClient.board = board
    ServedClient.mtu = mtu
    bleak.get_platform_client_backend_type = lambda: (ServedClient, "served")
    return BLEDevice(ADDRESS, "JK-BMS", {"props": {}})


assert uuid.UUID(SERVICE)
