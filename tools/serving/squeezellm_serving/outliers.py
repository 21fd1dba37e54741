"""The sparse part of a layer, a CSR triple of tensors (rows int32 [out+1], cols int32 [nnz], vals float32 [nnz]): checked,
cut for a rank of tensor parallelism, joined for a fused layer. Three empty tensors are a layer without one.
"""

import torch


def empty():
    return torch.empty(0, dtype=torch.int32), torch.empty(0, dtype=torch.int32), torch.empty(0)


def check(csr, outputs, inputs, where):
    """Raises ValueError unless the operator may read `csr` as the sparse part of a layer [outputs, inputs]."""
    rows, cols, vals = csr
    if not rows.numel() and not cols.numel() and not vals.numel():
        return
    if rows.shape != (outputs + 1,) or cols.dim() != 1 or cols.shape != vals.shape:
        raise ValueError(f"{where}: expected rows [{outputs + 1}] and as many cols as vals, found rows "
                         f"{list(rows.shape)}, cols {list(cols.shape)}, vals {list(vals.shape)}")
    if rows[0] != 0 or rows[-1] != cols.numel() or (rows[1:] < rows[:-1]).any():
        raise ValueError(f"{where}.rows: expected to rise from 0 to {cols.numel()}, the number of cols")
    if cols.numel() and (cols.min() < 0 or cols.max() >= inputs):
        raise ValueError(f"{where}.cols: expected columns of [0, {inputs}), found {int(cols.min())} to {int(cols.max())}")


def take_outputs(csr, first, count):
    """Rows [first, first + count)."""
    rows, cols, vals = csr
    part = rows[first:first + count + 1]
    begin, end = int(part[0]), int(part[-1])
    return part - part[0], cols[begin:end].clone(), vals[begin:end].clone()


def take_inputs(csr, first, count):
    """Columns [first, first + count), counted from first."""
    rows, cols, vals = csr
    kept = (cols >= first) & (cols < first + count)
    before = torch.nn.functional.pad(kept.cumsum(0), (1, 0))  # [nnz + 1]: how many of the first k are kept
    return before[rows.long()].to(torch.int32), cols[kept] - first, vals[kept]


def join(parts, outputs):
    """One layer of several on top of each other, part p of outputs[p] rows; a part may be empty()."""
    if all(part[2].numel() == 0 for part in parts):
        return empty()
    rows, nonzeros = [torch.zeros(1, dtype=torch.int32)], 0
    for (part, _, vals), count in zip(parts, outputs, strict=True):
        rows.append((part[1:] if part.numel() else torch.zeros(count, dtype=torch.int32)) + nonzeros)
        nonzeros += vals.numel()
    return torch.cat(rows), torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts])
