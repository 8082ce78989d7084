; The program `prime` of programs.bpf.c, by clang 19 -O2 -mcpu=v3.
    w0 = 0
    r1 = 2
    goto b4
b1:
    r2 += 1
    r4 = r2
    r4 *= r4
    w3 = 1
    if r4 > r1 goto b3
b2:
    r4 = r1
    r4 %= r2
    w3 = 0
    if r4 != 0 goto b1
b3:
    w0 += w3
    r1 += 1
    if r1 == 1500 goto b5
b4:
    w3 = 1
    if r1 < 4 goto b3
    r2 = 2
    goto b2
b5:
    exit
