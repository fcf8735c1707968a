"""What the serial protocol 4E57 shows of a state, from its description."""

# Bits of 4E57's field 8B for the core's alarms, from the protocol's description.
UART = {
    "mos_overtemperature": 1, "cell_overvoltage": 10, "abuse": 10, "pack_overvoltage": 2, "charge_overcurrent": 5,
    "severe_charge_overcurrent": 5, "charge_locked_out": 5, "charge_overtemperature": 4, "charge_undertemperature": 9,
    "cell_data_lost": 12, "data_lost_long": 12, "stack_mismatch": 12, "self_test_failed": 12, "limits_corrupt": 12,
    "step_late": 12, "time_went_back": 12, "storage_corrupt": 12, "cell_undervoltage": 11, "auto_shutdown": 11,
    "deep_discharge": 11, "pack_undervoltage": 3, "discharge_overcurrent": 6, "discharge_locked_out": 6,
    "short_circuit": 6, "severe_discharge_overcurrent": 6, "discharge_overtemperature": 4, "overtemperature_warning": 8,
    "discharge_undertemperature": 9, "cell_spread": 7, "cell_spread_warning": 7,
}


def whole(value):
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


def coded(degrees):
    """A temperature as the serial protocol sends it; the client shows the code below zero."""
    if degrees is None:
        return 140
    degrees = whole(degrees)
    return degrees if degrees >= 0 else 100 - degrees
