// How fast this machine reads memory: what decoding token by token, which reads every weight for
// each token, is measured against.
#pragma once

namespace sq {

// Bytes per second that all threads of ParallelFor together read from a buffer several times as
// large as the last-level cache: the best of a few passes. Takes about a second. Throws sq::Error
// when there is no room for the buffer (256 MiB at least).
double ReadBandwidth();

}  // namespace sq
