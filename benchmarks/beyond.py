"""What a fit of 10^9 rows of 5 modalities would need, computed from what `scaling.py` measured on a small machine.

python benchmarks/beyond.py [--rows 1e9] [--modalities 5] [--width 512]
"""

import argparse
import csv
import math
from pathlib import Path

from competitors import SIZES

RESULTS = Path(__file__).parent / "results" / "scaling.csv"
BATCH_SIZE, N_EPOCHS = 1024, 3
# Of each rank: processes of one thread that compute as fast as one GPU, at a guess, and bytes a second of its network.
AS_FAST, NETWORK = 200, 10e9


def constants():
    """Measured: seconds of a step and of a row, seconds of a message and of a byte of it, bytes read a second."""
    with open(RESULTS, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["section"] == "constants"]
    rates = {int(row["case"].split()[-1]): float(row["figure"]) for row in rows if row["unit"] == "rows/s"}
    messages = {int(row["name"].split()[0]): float(row["figure"]) for row in rows if row["unit"] == "s"}
    (reading,) = (float(row["figure"]) for row in rows if row["unit"] == "B/s")
    step, row = line({size: size / rate for size, rate in rates.items()})
    return step, row, *line(messages), reading


def line(points):
    """Where a line through the first and the last point begins, not below 0, and how steep it is."""
    (x0, y0), (x1, y1) = min(points.items()), max(points.items())
    slope = (y1 - y0) / (x1 - x0)
    return max(0.0, y0 - slope * x0), slope


def n_weights(n_modalities, width, embed_dim, hidden_dim, n_outputs, n_members=8):
    """Weights of the embeddings and of the heads; the rest does not count."""
    return n_modalities * (width * hidden_dim + hidden_dim * embed_dim) + n_members * embed_dim * n_outputs


def text(n_rows=10**9, n_modalities=5, width=512):
    """The page."""
    _, measured_widths, embed_dim, n_outputs, hidden_dim = next(iter(SIZES.values()))
    step, row, message, byte, reading = constants()
    size = n_modalities, width, embed_dim, hidden_dim, n_outputs
    weights, measured = n_weights(*size), n_weights(len(measured_widths), measured_widths[0], *size[2:])
    row, gradient = row * weights / measured, 4 * weights
    bytes_read, n_steps = 4.0 * n_rows * n_modalities * width, math.ceil(n_rows / BATCH_SIZE)
    lines = [
        f"rows                                  {n_rows:.0e}, {n_modalities} modalities of {width} numbers",
        f"weights                               {weights / 1e6:.1f} million ({gradient / 1e6:.0f} MB of gradients)",
        f"bytes read an epoch                   {bytes_read / 1e12:.1f} TB",
        f"  from one disk or cache, measured    {bytes_read / reading / 3600:.1f} hours at {reading / 1e9:.1f} GB/s",
        f"steps an epoch, of {BATCH_SIZE} rows          {n_steps:,}",
        f"gradients a step, sent by each rank   {2 * gradient / 1e6:.0f} MB at most, 2 (N - 1) / N of them",
        f"one process of one thread, an epoch   {(n_rows * row + n_steps * step) / 86400:,.0f} days",
        "",
        f"{'rows a step':>12} {'ranks':>6} {'seconds a step':>15} {'of them sending':>16} {'days of 3 epochs':>17}",
    ]
    for batch_size in (BATCH_SIZE, 64 * BATCH_SIZE):
        for n_ranks in (1, 2, 8, 32, 128):
            compute = step + row * batch_size / n_ranks
            sending = exchange(n_ranks, gradient, message, byte)
            days = N_EPOCHS * n_rows / batch_size * (compute + sending) / 86400
            share = sending / (compute + sending)
            lines.append(f"{batch_size:>12,} {n_ranks:>6} {compute + sending:>15.3f} {share:>16.0%} {days:>17,.1f}")
    lines.append("")
    for name, faster, per_byte in (("processes as measured", 1, byte), ("GPUs", AS_FAST, 1 / NETWORK)):
        for batch_size in (BATCH_SIZE, 64 * BATCH_SIZE):
            most = stops(batch_size, step / faster, row / faster, gradient, message, per_byte)
            lines.append(f"{name}, {batch_size:,} rows a step: a step is half sending from {most:,} ranks on")
    return "\n".join(lines)


def exchange(n_ranks, gradient, message, byte):
    """Seconds of a ring: of two ranks what was measured; more send more messages, of fewer bytes each."""
    if n_ranks == 1:
        return 0.0
    return message * (n_ranks - 1) + byte * gradient * 2 * (n_ranks - 1) / n_ranks


def stops(batch_size, step, row, gradient, message, byte):
    """Ranks from which on a step takes as long to send as to compute."""
    n_ranks = 2
    while n_ranks < batch_size and exchange(n_ranks, gradient, message, byte) < step + row * batch_size / n_ranks:
        n_ranks += 1
    return n_ranks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--modalities", type=int, default=5)
    parser.add_argument("--width", type=int, default=512)
    arguments = parser.parse_args()
    print(text(int(arguments.rows), arguments.modalities, arguments.width))


if __name__ == "__main__":
    main()
