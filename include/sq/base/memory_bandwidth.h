// Memory read bandwidth of this machine: the upper bound for decoding token by token, which reads
// every weight for each token.
#pragma once

namespace sq {

// Bytes per second that all threads of ParallelFor together read from a buffer of twice the
// last-level cache (256 MiB to 1 GiB): the best of three passes. If less memory is available, the
// buffer is three quarters of that, and the result may include cache hits. Takes about a second.
// Throws sq::Error when the buffer cannot be allocated.
double ReadBandwidth();

}  // namespace sq
