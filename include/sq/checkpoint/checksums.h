// Checksums of a checkpoint's tensors, in a file beside the weights, for `sq-pack verify`.
//
//   checksums.json   {"algorithm": "crc32", "tensors": {"model.norm.weight": "1c291ca3", ...}}
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sq/checkpoint/tensor_store.h"

namespace sq {

// CRC-32 (the one of zlib, gzip and zip) of the bytes of each tensor, by name.
using Checksums = std::map<std::string, uint32_t>;

uint32_t Checksum(const void* data, int64_t bytes);

void WriteChecksums(const std::string& folder, const Checksums& checksums);

// Compares the tensors of the checkpoint in `folder` with its checksums.json. Returns false when it
// has none (it was written by another program); throws sq::Error naming the first tensor that
// differs, is missing or is not listed. Cost: reads every byte.
bool VerifyChecksums(const std::string& folder, const TensorStore& store);

// 16 hexadecimal digits that tell one set of tensors from another, whatever files hold them: from
// the names, types and shapes of all, and of each the whole data up to 32 KiB, else eight blocks of
// 4 KiB, spread evenly, the first and the last among them. What differs elsewhere in large tensors
// alone goes unnoticed: a few single weights may, a model that was trained on does not. Cost: reads
// that much; a 7B model's 291 tensors, 9 MB.
std::string ContentDigest(const TensorStore& store);

}  // namespace sq
