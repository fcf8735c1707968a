#!/usr/bin/env python3
"""Fits the models of the six laboratory cells that `bms-sim soc --cell NAME` knows, and writes them as Rust const tables.

    BMS_CELL_DATA=FOLDER fit_cells.py [--json FILE] [--leave-out FILE]

--leave-out changes nothing here: it writes a JSON file in which each data file has the model that was fitted without it, where the
others can tell something of it at all (another file of the cell, and its temperature not the coldest). `soc_score --models` scores
each file with its own.

FOLDER holds `meta.json`, `dev/*.csv` (time_s,current_a,voltage_v,temp_c,soc_ref) and `ocv/*.csv`. The data is not part of
this repository; the numbers fitted to it are (crates/bms-host/src/cells/fitted.rs). Needs numpy and scipy.

The model, on the estimator's own 5 s means:  V = OCV(s) + dOCV(s) + dS(s)·(T − 25) + M(s)·h + Σ R_k(s, T)·x_k
with x_0 the current, x_1..x_3 the current behind unit-gain lags, h the hysteresis state. Least squares with R_k ≥ 0, weakly
smoothed over s; corrections of the laboratory's OCV only where leaving files out showed that they help.
"""
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "crates" / "bms-host" / "src" / "cells" / "fitted.rs"
LAGS = (8.0, 100.0, 1500.0)
KNOTS = np.array([0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0])
CORRECTIONS = np.array([0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85,
                        0.9, 0.95, 0.98, 1.0])
POINTS, HYSTERESIS_POINTS = 129, 33
FIXED = 10.0
# How stiff: neighbours over the state of charge, over temperature, the correction of the OCV; and how resistances usually grow in the
# cold, in kelvin: what a temperature that saw little of the charge follows. Chosen by what left-out files show: tied for LFP; for
# NCA that lowers the residual of left-out files (36.7 to 21.9 mV, median), but the estimates in the cold get worse with it.
TIED, LOOSE, SINGLE = (0.1, 0.3, 0.1, 3500.0), (0.05, 0.0, 0.03, 0.0), (0.05, 0.0, 0.1, 0.0)
# temperatures of the table; hysteresis rate; how stiff the entropic term and the rest are; start of the hysteresis
CELLS = {
    "pan": ((-20, -10, 0, 10, 25), 0, 0.05, LOOSE, {}),
    "a123": ((-25, 5, 25), 15, 1.0, TIED, {"a123_25": 1, "a123_5": 1, "a123_n25": 1, "a123_25_charge": -1}),
    "lfpflat": ((25,), 8, FIXED, TIED, {"lfpflat_25_a": -1, "lfpflat_cc_25": 1}),
    "calce": ((20,), 15, FIXED, TIED, {"calce_dst": -1}),
    "ae_nmc": ((25,), 0, FIXED, SINGLE, {}),
    "ae_lfp": ((25,), 0, FIXED, TIED, {}),
}
# How a resistance changes with temperature outside the table, in kelvin.
ACTIVATION = 2800.0


def hats(x, knots):
    """Linear interpolation as a matrix."""
    return np.stack([np.interp(x, knots, row) for row in np.eye(len(knots))], axis=1)


def inverse(celsius):
    return -1.0 / (np.asarray(celsius, float) + 273.15)


def means(rows, width=5.0):
    """The estimator's windows: (length, current, voltage, temperature, state of charge in the middle)."""
    length = np.diff(np.r_[2 * rows[0, 0] - rows[1, 0], rows[:, 0]])
    out, begin, total = [], 0, 0.0
    for k in range(len(rows)):
        total += length[k]
        if total >= width - 1e-6 or k == 0:
            part = slice(begin, k + 1)
            weight = length[part] / total
            middle = np.interp(rows[k, 0] - total / 2, rows[:, 0], rows[:, 4])
            out.append([total, *(weight @ rows[part, 1:4]), middle])
            begin, total = k + 1, 0.0
    return np.array(out)


def lagged(window, tau):
    """The mean over each window of the current behind a unit-gain lag."""
    keep = (2 * tau - window[:, 0]) / (2 * tau + window[:, 0])
    state, out = 0.0, np.empty(len(window))
    for k, current in enumerate(window[:, 1]):
        before, state = state, current + (state - current) * keep[k]
        out[k] = (before + state) / 2
    return out


def hysteresis(window, capacity, rate, start):
    state, out = float(start), np.empty(len(window))
    for k, (length, current) in enumerate(window[:, :2]):
        if abs(current) >= 0.003 * capacity:
            keep = np.exp(-abs(current) * length / 3600 / capacity * rate)
            state = keep * state + (1 - keep) * np.sign(current)
        out[k] = state
    return out


class Laboratory:
    def __init__(self, folder):
        self.folder, self.meta = Path(folder), json.loads((Path(folder) / "meta.json").read_text())

    def files(self, cell):
        return [n for n, m in self.meta.items() if m["ocv"] == cell and m["file"].startswith("dev")]

    def ocv(self, cell):
        table = np.genfromtxt(self.folder / "ocv" / f"{cell}.csv", delimiter=",", skip_header=1)
        grid = np.linspace(0, 1, POINTS)
        discharge = np.interp(grid, table[:, 0], table[:, 1])
        charge = discharge if np.isnan(table[:, 2]).any() else np.interp(grid, table[:, 0], table[:, 2])
        return grid, (discharge + charge) / 2, (charge - discharge) / 2

    def equations(self, name, cell, temperatures=None):
        _, rate, _, _, starts = CELLS[cell]
        temperatures = temperatures or CELLS[cell][0]
        meta = self.meta[name]
        window = means(np.loadtxt(self.folder / meta["file"], delimiter=",", skiprows=1))
        capacity, charge = meta["capacity_ah"], window[:, 4]
        grid, ocv, half = self.ocv(cell)
        # Resistances are fitted for one ampere-hour, so that all files of a cell share them.
        currents = [window[:, 1], *(lagged(window, tau) for tau in LAGS)]
        over_t = hats(inverse(window[:, 3]), inverse(temperatures)) if len(temperatures) > 1 else np.ones((len(window), 1))
        basis = (over_t[:, :, None] * hats(charge, KNOTS)[:, None, :]).reshape(len(window), -1)
        correction = hats(charge, CORRECTIONS)
        state = hysteresis(window, capacity, rate, starts.get(name, 0)) if rate else np.zeros(len(window))
        columns = [basis * current[:, None] for current in currents]
        columns += [correction, (np.interp(charge, grid, half) * state)[:, None], correction * (window[:, 3:4] - 25) / 25]
        weight = np.where(charge < 0.03, 0.1, 1.0)
        return np.hstack(columns), window[:, 2] - np.interp(charge, grid, ocv), weight, charge


def solve(equations, cell, temperatures=None):
    _, _, stiff_entropy, (smooth, tied, stiff_ocv, usual), _ = CELLS[cell]
    temperatures = temperatures or CELLS[cell][0]
    lags, knots, nt, nc = 1 + len(LAGS), len(KNOTS), len(temperatures), len(CORRECTIONS)
    first = lags * nt * knots
    size = first + 2 * nc + 1
    normal, right = np.zeros((size, size)), np.zeros(size)
    for matrix, value, weight, _ in equations:
        weight = weight / np.sqrt(len(value))
        scaled = matrix * weight[:, None]
        normal += scaled.T @ scaled
        right += scaled.T @ (value * weight)
    scale = np.sqrt(np.trace(normal[: nt * knots, : nt * knots]) / (nt * knots))
    rows, values = [], []

    def wish(entries, value=0.0):
        row = np.zeros(size)
        for index, factor in entries:
            row[index] = factor
        rows.append(row)
        values.append(value)

    # In proportion to what a resistance usually is at the temperature.
    each = scale / np.exp(usual * (1 / (np.array(temperatures) + 273.15) - 1 / 298.15))
    for lag in range(lags):
        for t in range(nt):
            for k in range(knots):
                index = (lag * nt + t) * knots + k
                if k + 1 < knots:
                    wish([(index, smooth * each[t]), (index + 1, -smooth * each[t])])
                if t + 1 < nt:
                    wish([(index, tied * each[t]), (index + knots, -tied * each[t + 1])])
    for offset, stiff in ((first, stiff_ocv), (first + nc + 1, stiff_entropy)):
        for k in range(nc):
            wish([(offset + k, stiff)])
            if k + 1 < nc:
                wish([(offset + k, -2 * stiff), (offset + k + 1, 2 * stiff)])
    wish([(first + nc, 0.03)], 0.03)
    triangle = np.linalg.cholesky(normal + 1e-13 * np.trace(normal) * np.eye(size))
    matrix = np.vstack([triangle.T, np.array(rows)])
    lower = np.r_[np.zeros(first), np.full(nc, -np.inf), 0, np.full(nc, -np.inf)]
    found = lsq_linear(matrix, np.r_[np.linalg.solve(triangle, right), values], (lower, np.inf), max_iter=300, tol=1e-8).x
    return {
        "resistance": found[:first].reshape(lags, nt, knots),
        "ocv": found[first : first + nc],
        "hysteresis": found[first + nc],
        "entropy": found[first + nc + 1 :],
        "all": found,
    }


def slow_error(solution, equations):
    """Root mean square in mV of the one-minute mean of the residual, above 5 % charge."""
    matrix, value, _, charge = equations
    error = np.convolve(matrix @ solution["all"] - value, np.ones(12) / 12, "same")
    return 1e3 * np.sqrt(np.mean(error[charge > 0.05] ** 2))


def without(laboratory, cell, name):
    """The model of a cell without one of its files; nothing if the others cannot tell. Prints what it misses there."""
    others = [n for n in laboratory.files(cell) if n != name]
    mean = lambda n: (laboratory.meta[n].get("t_min", 25) + laboratory.meta[n].get("t_max", 25)) / 2
    nearest = lambda n: min(CELLS[cell][0], key=lambda t: abs(t - mean(n)))
    if not others or mean(name) < min(map(mean, others)) - 3:
        return None
    # A temperature that only this file has seen is interpolated.
    temperatures = tuple(t for t in CELLS[cell][0] if t in map(nearest, others))
    solution = solve([laboratory.equations(n, cell, temperatures) for n in others], cell, temperatures)
    missed = slow_error(solution, laboratory.equations(name, cell, temperatures))
    print(f"  without {name}: {missed:.1f} mV", flush=True)
    return tables(laboratory, cell, solution, temperatures)


def tables(laboratory, cell, solution, temperatures=None):
    grid, ocv, half = laboratory.ocv(cell)
    rate = CELLS[cell][1]
    temperatures = temperatures or CELLS[cell][0]
    ocv = np.maximum.accumulate(ocv + np.interp(grid, CORRECTIONS, solution["ocv"]))
    coarse = np.linspace(0, 1, HYSTERESIS_POINTS)
    capacity = float(np.mean([laboratory.meta[n]["capacity_ah"] for n in laboratory.files(cell)]))
    return {
        "open_circuit": np.round(ocv * 1e4).astype(int).tolist(),
        "hysteresis": np.round(np.maximum(np.interp(coarse, grid, half) * solution["hysteresis"], 0) * 1e4).astype(int).tolist()
        if rate else [],
        "entropic": np.round(np.interp(coarse, CORRECTIONS, solution["entropy"]) / 25 * 1e6).astype(int).tolist(),
        "hysteresis_rate": rate,
        "temperatures": [10 * t for t in temperatures],
        "soc_knots": np.round(KNOTS * 1000).astype(int).tolist(),
        # Behind each path in µΩ·Ah, as binary logarithms in 2048ths.
        "resistances": np.round(2048 * np.log2(np.maximum(solution["resistance"].transpose(1, 2, 0) * capacity * 1e6, 16))).astype(int).tolist(),
        "capacity_mah": int(round(capacity * 1000)),
    }


def rust(name, model, meta):
    def array(values, per_line=16):
        lines = [", ".join(map(str, values[k : k + per_line])) for k in range(0, len(values), per_line)]
        return "&[\n        " + ",\n        ".join(lines) + ",\n    ]"

    def rows(row):
        return "    [\n" + "".join(f"            {list(knot)},\n" for knot in row) + "        ]"

    resistances = "&[\n    " + ",\n    ".join(map(rows, model["resistances"])) + ",\n    ]"
    return f"""
/// {meta}.
pub const {name.upper()}: CellModel = CellModel {{
    open_circuit: {array(model["open_circuit"])},
    hysteresis: {array(model["hysteresis"]) if model["hysteresis"] else "&[]"},
    hysteresis_rate: {model["hysteresis_rate"]},
    entropic: {array(model["entropic"]) if any(model["entropic"]) else "&[]"},
    temperatures: &{model["temperatures"]},
    soc_permille: &{model["soc_knots"]},
    resistances: {resistances},
    lag_seconds: [{", ".join(str(int(tau)) for tau in LAGS)}],
    capacity: Some(Charge::from_milliamp_hours({model["capacity_mah"]})),
    tuning: &{"SLOPED" if name in ("pan", "ae_nmc") else "FLAT"},
}};
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", type=Path, help="also write the numbers as JSON")
    arguments.add_argument("--leave-out", type=Path, help="write each file's model that was fitted without it as JSON, and nothing else")
    options = arguments.parse_args()
    folder = os.environ.get("BMS_CELL_DATA")
    if not folder:
        sys.exit("BMS_CELL_DATA is not set: it names the folder with meta.json, dev/ and ocv/")
    laboratory = Laboratory(folder)
    out, numbers = [], {}
    for cell in CELLS:
        names = laboratory.files(cell)
        equations = [laboratory.equations(name, cell) for name in names]
        solution = solve(equations, cell)
        print(cell, " ".join(f"{n} {slow_error(solution, e):.1f} mV" for n, e in zip(names, equations)), flush=True)
        if options.leave_out:
            numbers |= {name: model for name in names if (model := without(laboratory, cell, name))}
        numbers[cell] = tables(laboratory, cell, solution)
        out.append(rust(cell, numbers[cell], laboratory.meta[names[0]]["cell"]))
    if options.json:
        options.json.write_text(json.dumps(numbers))
    if options.leave_out:
        options.leave_out.write_text(json.dumps(numbers))
        return
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("//! Models of laboratory cells, written by tools/fit_cells.py. The measured data is not part of this repository.\n"
                   "#![allow(clippy::unreadable_literal)]\n\nuse bms_core::estimation::{CellModel, FLAT, SLOPED};\nuse bms_core::units::Charge;\n"
                   + "".join(out))


if __name__ == "__main__":
    main()
