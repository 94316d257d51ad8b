/* Seven ways to scale an accumulator, six of them as an engine's published source has it, or the instructions that it
   uses. None is copied from refquant; which flavour each one is, which_rounding.py finds out.

   The scale comes as multiplier * 2^-shift, multiplier of 31 bits and shift at least 31, which is TFLite's shift 31 -
   shift <= 0; or as a float. >> of a negative number is taken to be arithmetic, as these engines do. */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* gemmlowp, fixedpoint.h: SaturatingRoundingDoublingHighMul, RoundingDivideByPOT. TFLite's and CMSIS-NN's default. */
static int32_t gemmlowp(int32_t acc, int32_t multiplier, int shift)
{
    int64_t product = (int64_t)acc * multiplier;
    int32_t nudge = product >= 0 ? 1 << 30 : 1 - (1 << 30);
    int32_t high = (int32_t)((product + nudge) / (INT64_C(1) << 31));
    int exponent = shift - 31;
    int32_t mask = (int32_t)((INT64_C(1) << exponent) - 1);
    int32_t threshold = (mask >> 1) + (high < 0);

    return (high >> exponent) + ((high & mask) > threshold);
}

/* TFLite with TFLITE_SINGLE_ROUNDING, and ruy's apply_multiplier.cc of today: one shift of the 64-bit product. */
static int64_t tflite_single(int32_t acc, int32_t multiplier, int shift)
{
    return ((int64_t)acc * multiplier + (INT64_C(1) << (shift - 1))) >> shift;
}

/* ruy's Arm kernels while they rounded twice, with RUY_OPT_NATIVE_ROUNDING: the instructions SQRDMULH, which is
   (2 a b + 2^31) >> 32, and SRSHL by a negative shift, (v + 2^(s - 1)) >> s. */
static int64_t ruy_arm(int32_t acc, int32_t multiplier, int shift)
{
    int64_t high = (2 * ((int64_t)acc * multiplier) + (INT64_C(1) << 31)) >> 32;

    return shift > 31 ? (high + (INT64_C(1) << (shift - 32))) >> (shift - 31) : high;
}

/* TFLite Micro, MultiplyByQuantizedMultiplier of an int64_t: the multiplier reduced to 16 bits. */
static int64_t tflm_int16(int64_t acc, int32_t multiplier, int shift)
{
    int32_t reduced = multiplier < 0x7FFF0000 ? (multiplier + (1 << 15)) >> 16 : 0x7FFF;

    return (acc * reduced + (INT64_C(1) << (shift - 17))) >> (shift - 16);
}

/* XNNPACK, qs8-requantization/rndnu-scalar.c: the significand of a float scale as multiplier. */
static int64_t xnnpack_rndnu(int32_t acc, float scale)
{
    uint32_t bits;
    int shift;

    memcpy(&bits, &scale, sizeof bits);
    shift = 127 + 23 - (int)(bits >> 23);
    return ((int64_t)acc * (int32_t)((bits & 0x7FFFFF) | 0x800000) + (INT64_C(1) << (shift - 1))) >> shift;
}

enum { GEMMLOWP, TFLITE_SINGLE, RUY_ARM, TFLM_INT16, XNNPACK_RNDNU, XNNPACK_LRINTF, PLAIN_LROUNDF };

static int64_t scaled(int engine, int32_t acc, int32_t multiplier, int shift, float scale)
{
    switch (engine) {
    case GEMMLOWP: return gemmlowp(acc, multiplier, shift);
    case TFLITE_SINGLE: return tflite_single(acc, multiplier, shift);
    case RUY_ARM: return ruy_arm(acc, multiplier, shift);
    case TFLM_INT16: return tflm_int16(acc, multiplier, shift);
    case XNNPACK_RNDNU: return xnnpack_rndnu(acc, scale);
    case XNNPACK_LRINTF: return lrintf((float)acc * scale); /* qs8-requantization/fp32-scalar-lrintf.c */
    default: return lroundf((float)acc * scale); /* nobody's in particular */
    }
}

/* codes [rows, channels] of acc; multiplier, shift and scale [channels] */
void requantize(int engine, int rows, int channels, const int32_t *acc, const int32_t *multiplier, const int32_t *shift,
                const float *scale, int32_t zero_point, int32_t qmin, int32_t qmax, int32_t *codes)
{
    for (int i = 0; i < rows * channels; i++) {
        int j = i % channels;
        int64_t code = scaled(engine, acc[i], multiplier[j], shift[j], scale[j]) + zero_point;

        codes[i] = (int32_t)(code < qmin ? qmin : code > qmax ? qmax : code);
    }
}
