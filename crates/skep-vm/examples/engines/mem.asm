; The program `mem` of programs.bpf.c, by clang 19 -O2 -mcpu=v3.
    r1 = 0
b1:
    r2 = r10
    r2 += -240
    r2 += r1
    w3 = w1
    w3 *= 7
    *(u8 *)(r2 + 0) = r3
    r1 += 1
    if r1 != 240 goto b1
    w0 = 0
    r1 = 0
    goto b3
b2:
    r2 = r10
    r2 += -240
    r2 += r1
    r3 = *(u8 *)(r2 + 0)
    w3 ^= w1
    *(u8 *)(r2 + 0) = r3
    r1 += 1
    if r1 == 30 goto b7
b3:
    r2 = 0
b4:
    r3 = r10
    r3 += -480
    r3 += r2
    r4 = r10
    r4 += -240
    r4 += r2
    r4 = *(u8 *)(r4 + 0)
    *(u8 *)(r3 + 0) = r4
    r2 += 1
    if r2 != 240 goto b4
    r2 = 0
    goto b6
b5:
    w0 += w3
    r2 += 1
    if r2 == 240 goto b2
b6:
    r3 = r10
    r3 += -240
    r3 += r2
    r4 = *(u8 *)(r3 + 0)
    r3 = r10
    r3 += -480
    r3 += r2
    r5 = *(u8 *)(r3 + 0)
    w3 = 1
    if w5 == w4 goto b5
    w3 = 0
    goto b5
b7:
    exit
