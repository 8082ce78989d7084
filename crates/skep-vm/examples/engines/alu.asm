; The program `alu` of programs.bpf.c, by clang 19 -O2 -mcpu=v3.
    r7 = 1
    r5 = -7046029254386353131 ll
    r1 = -1
    w4 = 0
    r3 = -8
b1:
    r2 = r7
    r1 += 1
    r6 = r2
    r6 *= 31
    r0 = r1
    r0 += r6
    r0 >>= 7
    r0 ^= r5
    w5 = w2
    w5 *= 248
    w7 = w4
    w7 += w5
    w7 += w0
    r7 &= 65535
    r6 -= r7
    w4 += 8
    r5 = r2
    r5 *= 248
    r7 = r0
    r7 += r5
    r3 += 8
    r5 = r3
    r5 += r7
    r7 = r1
    r7 += r6
    if r1 == 29999 goto b2
    goto b1
b2:
    w4 = w2
    w4 *= 248
    w5 = w3
    w5 += w4
    w5 += w0
    w0 += w4
    w0 += w3
    w5 &= 65535
    w2 *= 31
    w2 -= w5
    w2 += w1
    w0 ^= w2
    exit
