// How fast this machine reads memory: what decoding token by token, which reads every weight for
// each token, is measured against.
#pragma once

namespace sq {

// Bytes per second that all threads of ParallelFor together read from a buffer of twice the
// last-level cache (256 MiB at least, 1 GiB at most): the best of three passes. Where the process
// may not have that much the buffer is of three quarters of what it may, and caches have a part in
// the figure. Takes about a second. Throws sq::Error when there is no room for the buffer.
double ReadBandwidth();

}  // namespace sq
