#!/usr/bin/env python3
"""Draws docs/images/soc-*.svg: two simulated cells that differ from the estimator's tables, from a wrong start.

    soc_examples.py [BMS_SIM]

The cells are those of the simulator (crates/bms-host/src/plant/chemistry.rs): other open-circuit voltages and resistances than
the typical tables that the estimator uses. Sensor: +3 mV, +0.5 % gain, +0.2 % of the capacity per hour, noise.
"""
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LI_ION = [(0.00, 2.85), (0.02, 3.18), (0.05, 3.36), (0.10, 3.465), (0.20, 3.565), (0.30, 3.62), (0.40, 3.66), (0.50, 3.715), (0.60, 3.80),
          (0.70, 3.89), (0.80, 3.985), (0.90, 4.075), (0.95, 4.12), (1.00, 4.19)]
LIFEPO4 = [(0.00, 2.52), (0.02, 2.86), (0.05, 3.08), (0.10, 3.198), (0.15, 3.222), (0.20, 3.248), (0.30, 3.281), (0.40, 3.291), (0.50, 3.294),
           (0.60, 3.298), (0.65, 3.310), (0.70, 3.330), (0.80, 3.334), (0.90, 3.337), (0.97, 3.350), (1.00, 3.460)]
# name, cell, curve, ohmic and two polarisations (Ω·Ah, s), hysteresis V, start, believed, current per hour, hours
EXAMPLES = [
    ("nmc-wrong-start", "li-ion", LI_ION, 0.070, ((0.035, 12.0), (0.045, 420.0)), 0.0, 0.90, 0.60, 0.35, 2.2),
    ("lifepo4-wrong-start", "lifepo4", LIFEPO4, 0.055, ((0.030, 15.0), (0.050, 600.0)), 0.006, 0.85, 0.55, 0.16, 4.9),
]
CAPACITY = 100.0


def at(curve, x):
    for (x0, y0), (x1, y1) in zip(curve, curve[1:]):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return curve[-1][1]


def cell(example):
    _, _, curve, ohmic, paths, half, charge, _, rate, hours = example
    noise = random.Random(1)
    states, branch, rows = [0.0 for _ in paths], 0.0, ["time_s,current_a,voltage_v,temp_c,soc_ref"]
    for second in range(1, int(hours * 3600) + 1):
        current = -CAPACITY * rate * (0.0, 0.5, 2.5, 1.5, 0.2, -0.6, 2.4, 1.5)[second // 20 % 8]
        moved = current / 3600 / CAPACITY
        charge += moved
        for k, (resistance, tau) in enumerate(paths):
            states[k] += (resistance / CAPACITY * current - states[k]) * (1 - math.exp(-1 / tau))
        branch += (math.copysign(1, current) - branch) * min(abs(moved) * 20, 1) if current else 0
        voltage = at(curve, max(charge, 0)) + half * branch + sum(states) + ohmic / CAPACITY * current
        rows.append(f"{second},{current * 1.005 + 0.2 + noise.gauss(0, 0.05):.4f},{voltage + 0.003 + noise.gauss(0, 0.001):.3f},25.0,{charge:.5f}")
    return "\n".join(rows) + "\n"


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target" / "release" / "bms-sim")
    with tempfile.TemporaryDirectory() as scratch:
        for example in EXAMPLES:
            name, kind, *_, believed, _, _ = example
            source = Path(scratch) / f"{name}.csv"
            source.write_text(cell(example))
            subprocess.run([program, "soc", "--input", source, "--output", Path(scratch) / "out.csv", "--capacity-ah", str(CAPACITY),
                            "--initial-soc", str(believed), "--initial-sigma", "0.3", "--cell", kind,
                            "--plot", ROOT / "docs" / "images" / f"soc-{name}.svg"], check=True)


if __name__ == "__main__":
    main()
