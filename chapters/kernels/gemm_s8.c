/* gemm_s8: y = requantize((a - za) @ (b - zb) + bias), 8-bit codes in and out, 32-bit accumulators that wrap.

   a [M, K] and b [K, N] hold int8 or uint8 codes, bias [N] int32 or is NULL, y [M, N] holds codes of either kind: their
   bytes are the same. One tile of MR x NR accumulators at a time; K goes by in steps of KC, for which both operands
   are widened to 16 bits, their zero points subtracted, so that the inner loop is a plain product the compiler can
   vectorize. Sums are of uint32_t: they wrap, where those of int32_t would be undefined. */
#include <stdint.h>
#include <string.h>

enum { MR = 4, NR = 16, KC = 64 };

typedef struct {
    const void *codes;
    int32_t is_signed;
    int32_t zero_point;
} operand;

enum { TOSA_SINGLE, TOSA_DOUBLE, RUY_DOUBLE };

typedef struct {
    int32_t flavour;
    int32_t per_channel;       /* 1: a multiplier and a shift for every column of y */
    const int32_t *multiplier; /* the scale is multiplier * 2^-shift */
    const uint8_t *shift;      /* 1 to 62 */
    int32_t zero_point;        /* added after the rounding */
    int32_t qmin, qmax;
} requantization;

static int min(int a, int b) { return a < b ? a : b; }

/* floor(v / 2^s): C leaves >> of a negative number to the compiler. */
static int64_t shift_down(int64_t v, int s) { return v < 0 ? ~(~v >> s) : v >> s; }

static int64_t half_up(int64_t v, int s) { return shift_down(v + (INT64_C(1) << (s - 1)), s); }

static int64_t half_away(int64_t v, int s) { return v < 0 ? -half_up(-v, s) : half_up(v, s); }

static int32_t requantize(int32_t acc, const requantization *rq, int column)
{
    int channel = rq->per_channel ? column : 0;
    int shift = rq->shift[channel];
    int64_t product = (int64_t)acc * rq->multiplier[channel];
    int64_t code;

    if (rq->flavour == TOSA_SINGLE || shift <= 31)
        code = half_up(product, shift);
    else if (rq->flavour == TOSA_DOUBLE)
        code = half_away(half_up(product, 31), shift - 31);
    else
        code = half_up(half_up(product, 31), shift - 31);
    code += rq->zero_point;
    if (code < rq->qmin)
        code = rq->qmin;
    if (code > rq->qmax)
        code = rq->qmax;
    return (int32_t)code;
}

/* count codes from index on, less their zero point */
static void widen(int16_t *to, const operand *from, int64_t index, int count)
{
    const int8_t *s8 = (const int8_t *)from->codes + index;
    const uint8_t *u8 = (const uint8_t *)from->codes + index;

    for (int i = 0; i < count; i++)
        to[i] = (int16_t)((from->is_signed ? s8[i] : u8[i]) - from->zero_point);
}

/* acc [rows, columns] = bias + a[i0:i0 + rows] @ b[:, j0:j0 + columns] */
static void tile(uint32_t acc[MR][NR], int i0, int rows, int j0, int columns, int n, int k, const operand *a,
                 const operand *b, const int32_t *bias)
{
    int16_t wide_a[MR][KC], wide_b[KC][NR];

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            acc[i][j] = bias ? (uint32_t)bias[j0 + j] : 0;
    for (int p0 = 0; p0 < k; p0 += KC) {
        int terms = min(KC, k - p0);

        for (int i = 0; i < rows; i++)
            widen(wide_a[i], a, (int64_t)(i0 + i) * k + p0, terms);
        for (int p = 0; p < terms; p++)
            widen(wide_b[p], b, (int64_t)(p0 + p) * n + j0, columns);
        for (int i = 0; i < rows; i++)
            for (int p = 0; p < terms; p++)
                for (int j = 0; j < columns; j++)
                    acc[i][j] += (uint32_t)(wide_a[i][p] * wide_b[p][j]);
    }
}

/* y [m, n] holds codes, one byte each; where rq is NULL, the int32_t accumulators. */
void gemm_s8(int m, int n, int k, const operand *a, const operand *b, const int32_t *bias, const requantization *rq,
             void *y)
{
    for (int i0 = 0; i0 < m; i0 += MR)
        for (int j0 = 0; j0 < n; j0 += NR) {
            uint32_t acc[MR][NR];
            int rows = min(MR, m - i0), columns = min(NR, n - j0);

            tile(acc, i0, rows, j0, columns, n, k, a, b, bias);
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < columns; j++) {
                    int64_t at = (int64_t)(i0 + i) * n + j0 + j;
                    int32_t sum;

                    memcpy(&sum, &acc[i][j], sizeof sum); /* the same bits, two's complement */
                    if (rq)
                        ((uint8_t *)y)[at] = (uint8_t)requantize(sum, rq, j0 + j);
                    else
                        ((int32_t *)y)[at] = sum;
                }
        }
}
