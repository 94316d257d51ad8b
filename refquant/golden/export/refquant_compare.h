// Compares results with expected values: C99 or C++, this header only.
//
//   size_t wrong = rq_compare_int8("y", y, rq_<case>_out_y, rq_<case>_out_y_size);
//
// Returns how many elements differ. When some do, prints their number and the first: its index in C order, and both
// values in decimal and in hexadecimal (of floats, the bit patterns). NaN differs from everything.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define RQ_DEFINE_COMPARE(suffix, type, bits_type, printed_type, printed, digits)                                      \
    static inline size_t rq_compare_##suffix(const char *name, const type *actual, const type *expected,              \
                                             size_t count) {                                                          \
        size_t i, wrong = 0, first = 0;                                                                               \
        for (i = 0; i < count; i++)                                                                                   \
            if (!(actual[i] == expected[i]) && wrong++ == 0)                                                          \
                first = i;                                                                                            \
        if (wrong != 0) {                                                                                             \
            bits_type got, want;                                                                                      \
            memcpy(&got, &actual[first], sizeof got);                                                                 \
            memcpy(&want, &expected[first], sizeof want);                                                             \
            printf("FAIL %s: %lu of %lu differ, first at %lu: got " printed " (0x%0" digits "llx), expected " printed \
                   " (0x%0" digits "llx)\n",                                                                          \
                   name, (unsigned long)wrong, (unsigned long)count, (unsigned long)first,                            \
                   (printed_type)actual[first], (unsigned long long)got, (printed_type)expected[first],               \
                   (unsigned long long)want);                                                                         \
        }                                                                                                             \
        return wrong;                                                                                                 \
    }

RQ_DEFINE_COMPARE(int8, int8_t, uint8_t, long long, "%lld", "2")
RQ_DEFINE_COMPARE(uint8, uint8_t, uint8_t, unsigned long long, "%llu", "2")
RQ_DEFINE_COMPARE(int16, int16_t, uint16_t, long long, "%lld", "4")
RQ_DEFINE_COMPARE(uint16, uint16_t, uint16_t, unsigned long long, "%llu", "4")
RQ_DEFINE_COMPARE(int32, int32_t, uint32_t, long long, "%lld", "8")
RQ_DEFINE_COMPARE(uint32, uint32_t, uint32_t, unsigned long long, "%llu", "8")
RQ_DEFINE_COMPARE(int64, int64_t, uint64_t, long long, "%lld", "16")
RQ_DEFINE_COMPARE(uint64, uint64_t, uint64_t, unsigned long long, "%llu", "16")
RQ_DEFINE_COMPARE(float, float, uint32_t, double, "%.9g", "8")
RQ_DEFINE_COMPARE(double, double, uint64_t, double, "%.17g", "16")

#undef RQ_DEFINE_COMPARE
