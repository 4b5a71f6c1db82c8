/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers belong to one vCPU: two guests and dom0 share one CPU, each with
 * its own pattern in the x87, SSE, AVX, AVX-512, PKRU and debug registers and
 * in base MSRs, and none sees another's, neither later nor in a fresh vCPU.
 */
/* run: cpu=+pku bochs=bochs-vmx,bochs-svm,bochs-vmx-pku */
#include "test.h"
#include "toolstack.h"

#define ROUNDS 500

struct state {
    uint64_t zmm[32][8];
    uint64_t k[8]; /* the lower halves of the mask registers */
    uint64_t mm[8];
    uint64_t dr[4];
    uint64_t fs, kernel_gs, lstar;
    uint64_t pkru;
};

static struct state want, got;

static bool avx(void)
{
    return cpuid(1, 0).c >> 28 & 1;
}

static bool avx512(void)
{
    return avx() && cpuid(7, 0).b >> 16 & 1;
}

static bool pku(void)
{
    return cpuid(0, 0).a >= 7 && cpuid(7, 0).c >> 3 & 1;
}

static void fpu_on(void)
{
    uint64_t cr4;

    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    if (avx()) cr4 |= 1u << 18;
    if (pku()) cr4 |= 1u << 22;
    asm volatile("mov %0, %%cr4" ::"r"(cr4));
    if (avx()) asm volatile("xsetbv" ::"c"(0), "a"(avx512() ? 0xe7 : 7), "d"(0));
}

#define Z(n)     "vmovdqu64 %c[z]+64*" #n "(%[s]), %%zmm" #n "\n\t"
#define K(n)     "kmovw %c[k]+8*" #n "(%[s]), %%k" #n "\n\t"
#define Y(n)     "vmovdqu %c[z]+64*" #n "(%[s]), %%ymm" #n "\n\t"
#define X(n)     "movdqu %c[z]+64*" #n "(%[s]), %%xmm" #n "\n\t"
#define M(n)     "movq %c[m]+8*" #n "(%[s]), %%mm" #n "\n\t"
#define ZS(n)    "vmovdqu64 %%zmm" #n ", %c[z]+64*" #n "(%[s])\n\t"
#define KS(n)    "kmovw %%k" #n ", %c[k]+8*" #n "(%[s])\n\t"
#define YS(n)    "vmovdqu %%ymm" #n ", %c[z]+64*" #n "(%[s])\n\t"
#define XS(n)    "movdqu %%xmm" #n ", %c[z]+64*" #n "(%[s])\n\t"
#define MS(n)    "movq %%mm" #n ", %c[m]+8*" #n "(%[s])\n\t"
#define ALL8(F)  F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7)
#define ALL16(F) ALL8(F) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define ALL32(F) \
    ALL16(F)     \
    F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30) F(31)
#define ARGS                                                                              \
    [s] "r"(s), [z] "i"(offsetof(struct state, zmm)), [k] "i"(offsetof(struct state, k)), \
        [m] "i"(offsetof(struct state, mm))

static void load(const struct state *s)
{
    asm volatile(ALL8(M)::ARGS : "memory");
    if (avx512())
        asm volatile(ALL32(Z) ALL8(K)::ARGS : "memory");
    else if (avx())
        asm volatile(ALL16(Y)::ARGS : "memory");
    else
        asm volatile(ALL16(X)::ARGS : "memory");
    if (pku()) asm volatile("wrpkru" ::"a"((uint32_t)s->pkru), "c"(0), "d"(0));
    asm volatile("mov %0, %%dr0" ::"r"(s->dr[0]));
    asm volatile("mov %0, %%dr1" ::"r"(s->dr[1]));
    asm volatile("mov %0, %%dr2" ::"r"(s->dr[2]));
    asm volatile("mov %0, %%dr3" ::"r"(s->dr[3]));
    wrmsr(0xc0000100, s->fs);
    wrmsr(0xc0000102, s->kernel_gs);
    wrmsr(0xc0000082, s->lstar);
}

static void store(struct state *s)
{
    uint32_t edx;

    memset(s, 0, sizeof(*s));
    asm volatile(ALL8(MS)::ARGS : "memory");
    if (avx512())
        asm volatile(ALL32(ZS) ALL8(KS)::ARGS : "memory");
    else if (avx())
        asm volatile(ALL16(YS)::ARGS : "memory");
    else
        asm volatile(ALL16(XS)::ARGS : "memory");
    if (pku()) asm volatile("rdpkru" : "=a"(s->pkru), "=d"(edx) : "c"(0));
    asm volatile("mov %%dr0, %0" : "=r"(s->dr[0]));
    asm volatile("mov %%dr1, %0" : "=r"(s->dr[1]));
    asm volatile("mov %%dr2, %0" : "=r"(s->dr[2]));
    asm volatile("mov %%dr3, %0" : "=r"(s->dr[3]));
    s->fs = rdmsr(0xc0000100);
    s->kernel_gs = rdmsr(0xc0000102);
    s->lstar = rdmsr(0xc0000082);
}

static void pattern(struct state *s, uint64_t seed)
{
    unsigned int words = avx512() ? 8 : avx() ? 4 : 2;
    uint64_t *word = (uint64_t *)s;

    for (unsigned int i = 0; i < sizeof(*s) / 8; i++)
        word[i] = (seed << 32 | i * 0x10001) & 0x00007fffffffffff;
    for (unsigned int i = 0; i < 32 * 8; i++)
        if (i % 8 >= words || (i / 8 >= 16 && !avx512())) s->zmm[i / 8][i % 8] = 0;
    for (unsigned int i = 0; i < 8; i++) s->k[i] = avx512() ? (seed + i) & 0xffff : 0;
    s->pkru = pku() ? (uint32_t)(seed * 0x1234567) & ~3u : 0; /* key 0 is of all pages here */
}

/* What a vCPU finds at its very start; NULL, or the part that is not clean. */
static const char *dirty(void)
{
    store(&got);
    for (unsigned int i = 0; i < 32 * 8; i++)
        if (got.zmm[i / 8][i % 8]) return "SSE or AVX";
    for (unsigned int i = 0; i < 8; i++)
        if (got.k[i]) return "AVX-512";
    if (got.pkru) return "PKRU";
    for (unsigned int i = 0; i < 8; i++)
        if (got.mm[i]) return "x87";
    for (unsigned int i = 0; i < 4; i++)
        if (got.dr[i]) return "debug";
    return got.fs || got.kernel_gs || got.lstar ? "base MSRs" : NULL;
}

/* Holds the pattern while others run; the number of rounds it was lost in. */
static long hold(long seed, long b, long c)
{
    long lost = 0;

    (void)b, (void)c;
    pattern(&want, (uint64_t)seed);
    load(&want);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        sched_op(SCHEDOP_yield, 0);
        delay(NS_PER_MS / 20);
        store(&got);
        lost += memcmp(&got, &want, sizeof(got)) != 0;
        load(&want);
        if (!is_dom0) MAILBOX[10]++; /* so that dom0 sees us run */
    }
    return lost;
}

static long first_state(long a, long b, long c)
{
    const char *part;

    (void)a, (void)b, (void)c;
    fpu_on();
    part = dirty();
    if (part) print("not clean: %s\n", part);
    return part != NULL;
}

void test_main(void)
{
    struct guest g[2], late;
    long lost[2], mine = 0, switches = 0;

    if (!avx512()) skip("AVX-512", "not on this processor");
    if (!pku()) skip("PKRU", "not on this processor");
    fpu_on(); /* dom0's own loader may have used the registers */
    for (unsigned int i = 0; i < 2; i++) {
        servant_start(&g[i], i);
        check_eq(guest_call(&g[i], first_state, 0, 0, 0), 0, "a guest starts clean");
    }
    guest_call_async(&g[0], hold, 0x111, 0, 0);
    guest_call_async(&g[1], hold, 0x222, 0, 0);
    while (!guest_called(&g[0], &lost[0]) || !guest_called(&g[1], &lost[1])) {
        uint64_t a = g[0].box[10], b = g[1].box[10];

        mine += hold(0x333, 0, 0);
        switches += g[0].box[10] != a && g[1].box[10] != b;
    }
    check(switches > 0, "they took turns");
    check_eq(mine, 0, "dom0 keeps its registers");
    check_eq(lost[0], 0, "guest 0 keeps its registers");
    check_eq(lost[1], 0, "guest 1 keeps its registers");
    servant_start(&late, 2);
    check_eq(guest_call(&late, first_state, 0, 0, 0), 0, "a guest made later starts clean");
    check(guest_destroy(&late) && guest_destroy(&g[0]) && guest_destroy(&g[1]), "destroyed");
}
