/* One case of gemm.forward, compiled in with the header that `refquant vectors create --export c` wrote of it.

       cc -include ID.h -I EXPORT -DCASE=ID [-DBIAS] [-DFLAVOUR=TOSA_DOUBLE -DQMIN=-128 -DQMAX=127] gemm_main.c -o gemm
       ./gemm [ANSWER.bin]

   Runs the kernel, prints the first element that differs from the expected one, and writes the answer where asked to.
   Ends with 0 when all are equal, 1 when not, 2 when the answer cannot be written. The header has tensors, shapes and
   zero points; the macros are the words of the case, which the preprocessor cannot read out of it. gemm_program.py
   puts such a command together. KERNEL: the kernel's source, gemm_s8.c unless it says otherwise. C11. */
#include "refquant_compare.h"
#ifndef KERNEL
#define KERNEL "gemm_s8.c"
#endif
#include KERNEL

#define PASTE(id, name) rq_##id##_##name
#define OF(id, name) PASTE(id, name)
#define THE(name) OF(CASE, name) /* a tensor or a number of the case, by its name in case.json */
#define OPERAND(name) { THE(in_##name), _Generic(THE(in_##name)[0], int8_t: 1, uint8_t: 0), THE(name##_zero_point) }

int main(int argc, char **argv)
{
    static union {
        int32_t accumulators[THE(out_y_size)];
        int8_t s8[THE(out_y_size)];
        uint8_t u8[THE(out_y_size)];
    } y;
    const operand a = OPERAND(a), b = OPERAND(b);
    const requantization *rq = NULL;
    const int32_t *bias = NULL;
    size_t wrong;

#ifdef BIAS
    bias = THE(in_bias);
#endif
#ifdef FLAVOUR
    const requantization given = { FLAVOUR, THE(per_channel), THE(in_multiplier), THE(in_shift), THE(zero_point), QMIN,
                                   QMAX };
    rq = &given;
#endif
    gemm_s8(THE(in_a_dim0), THE(in_b_dim1), THE(in_a_dim1), &a, &b, bias, rq, &y);

    if (argc > 1) {
        FILE *file = fopen(argv[1], "wb");

        if (!file || fwrite(&y, sizeof THE(out_y), 1, file) != 1 || fclose(file))
            return 2;
    }
    wrong = _Generic(THE(out_y)[0],
        int8_t: rq_compare_int8("y", y.s8, (const void *)THE(out_y), THE(out_y_size)),
        uint8_t: rq_compare_uint8("y", y.u8, (const void *)THE(out_y), THE(out_y_size)),
        int32_t: rq_compare_int32("y", y.accumulators, (const void *)THE(out_y), THE(out_y_size)));
    if (!wrong)
        puts("PASS y: all are equal");
    return wrong != 0;
}
