"""The part of bluepy that mpp-solar uses, over a served board that the test puts into `board`."""
import queue

board = None


class BTLEGattError(Exception):
    pass


class DefaultDelegate:
    def __init__(self):
        pass


class AssignedNumbers:
    genericAccess = 0x1800
    deviceName = 0x2A00


class _Characteristic:
    def getHandle(self):
        return 4

    def read(self):
        return b"served"


class _Service:
    def getCharacteristics(self, _uuid):
        return [_Characteristic()]


class Peripheral:
    def __init__(self, _address):
        self.delegate = None

    def withDelegate(self, delegate):
        self.delegate = delegate

    def connect(self, _address):
        board.connected()

    def setMTU(self, mtu):
        board.connected(mtu)

    def disconnect(self):
        board.disconnect()

    def getServiceByUUID(self, _uuid):
        return _Service()

    def writeCharacteristic(self, handle, data, withResponse=False):
        if data == b"\x01\x00":
            board.subscribe()  # the descriptor, by whatever handle
        else:
            board.write_characteristic(data)

    def waitForNotifications(self, timeout):
        # The client gives up after some empty seconds; they are made short.
        try:
            self.delegate.handleNotification(4, board.notifications.get(timeout=timeout * 0.05))
            return True
        except queue.Empty:
            return False
