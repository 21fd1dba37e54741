#include "sq/base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "sq/base/cpu.h"
#include "sq/base/float_bits.h"

namespace sq {
namespace {

#if defined(__x86_64__)
// Converts as many as fill whole vectors and returns their number. Same values as the scalar
// conversion, since it is exact.
__attribute__((target("avx,f16c"))) int64_t Fp16ToFloatF16c(const uint16_t* in, float* out,
                                                            int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
  }
  return i;
}
#endif

}  // namespace

float Fp16ToFloat(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000u) << 16;
  const uint32_t magnitude = value & 0x7fffu;
  if (magnitude >= 0x7c00u) return FloatOf(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  // Shift the fields into place, then scale by 2^112 to change the exponent's bias from 15 to 127:
  // a product that is exact, and turns fp16 subnormals into normal fp32 values.
  const float scaled = FloatOf(magnitude << 13) * 0x1p112f;
  return FloatOf(sign | BitsOf(scaled));
}

float Bf16ToFloat(uint16_t value) { return FloatOf(static_cast<uint32_t>(value) << 16); }

uint16_t FloatToFp16(float value) {
  const uint32_t bits = BitsOf(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65520 or more
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 leaves a mantissa whose last bit weighs 2^-24, fp16's smallest step.
    return sign | static_cast<uint16_t>(BitsOf(FloatOf(magnitude) + 0.5f) - 0x3f000000u);
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return sign | static_cast<uint16_t>((magnitude + 0xfffu + odd - 0x38000000u) >> 13);
}

uint16_t FloatToBf16(float value) {
  const uint32_t bits = BitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

void Fp16ToFloat(const uint16_t* in, float* out, int64_t count) {
  int64_t i = 0;
#if defined(__x86_64__)
  if (Cpu().avx2) i = Fp16ToFloatF16c(in, out, count);
#endif
  for (; i < count; ++i) out[i] = Fp16ToFloat(in[i]);
}

void Bf16ToFloat(const uint16_t* in, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = Bf16ToFloat(in[i]);
}

void FloatToFp16(const float* in, uint16_t* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = FloatToFp16(in[i]);
}

void FloatToBf16(const float* in, uint16_t* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = FloatToBf16(in[i]);
}

}  // namespace sq
