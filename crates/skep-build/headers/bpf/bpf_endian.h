/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Byte order: from the host's to the network's (big-endian) and back. The
 * results are constant expressions when the arguments are, so they may stand in
 * case labels and static initialisers.
 */
#ifndef __BPF_ENDIAN__
#define __BPF_ENDIAN__

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define __skep_be16(x) __builtin_bswap16(x)
#define __skep_be32(x) __builtin_bswap32(x)
#define __skep_be64(x) __builtin_bswap64(x)
#else
#define __skep_be16(x) (x)
#define __skep_be32(x) (x)
#define __skep_be64(x) (x)
#endif

#define bpf_htons(x) __skep_be16(x)
#define bpf_ntohs(x) __skep_be16(x)
#define bpf_htonl(x) __skep_be32(x)
#define bpf_ntohl(x) __skep_be32(x)
#define bpf_cpu_to_be64(x) __skep_be64(x)
#define bpf_be64_to_cpu(x) __skep_be64(x)

/* Older spellings: the same, whether the compiler knows the argument or not. */
#define __bpf_htons(x) bpf_htons(x)
#define __bpf_ntohs(x) bpf_ntohs(x)
#define __bpf_htonl(x) bpf_htonl(x)
#define __bpf_ntohl(x) bpf_ntohl(x)
#define __bpf_cpu_to_be64(x) bpf_cpu_to_be64(x)
#define __bpf_be64_to_cpu(x) bpf_be64_to_cpu(x)
#define __bpf_constant_htons(x) bpf_htons(x)
#define __bpf_constant_ntohs(x) bpf_ntohs(x)
#define __bpf_constant_htonl(x) bpf_htonl(x)
#define __bpf_constant_ntohl(x) bpf_ntohl(x)
#define __bpf_constant_cpu_to_be64(x) bpf_cpu_to_be64(x)
#define __bpf_constant_be64_to_cpu(x) bpf_be64_to_cpu(x)

#endif /* __BPF_ENDIAN__ */
