// SPDX-License-Identifier: MIT OR Apache-2.0
// Sockets that programs look up by addresses: a listener and a connection of TCP, one of UDP, all
// on 127.0.0.1; and what a packet without a socket answers.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "facts.h"

/* Ports: of the listener, of who has connected to it, of UDP. */
volatile const u16 listener = 0, client = 0, datagrams = 0;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} values SEC(".maps");

static __always_inline void look(struct bpf_sock *socket)
{
	fact(socket->family);
	fact(socket->type);
	fact(socket->protocol);
	fact(socket->src_ip4 == bpf_htonl(0x7f000001));
	fact(socket->src_port == listener || socket->src_port == datagrams);
	fact(socket->dst_port == bpf_htons(client));
	fact(socket->dst_ip4 == bpf_htonl(0x7f000001));
	fact(socket->state);
}

static __always_inline void addresses(struct bpf_sock_tuple *tuple, u16 from, u16 to)
{
	tuple->ipv4.saddr = tuple->ipv4.daddr = bpf_htonl(0x7f000001);
	tuple->ipv4.sport = bpf_htons(from);
	tuple->ipv4.dport = bpf_htons(to);
}

static __always_inline void tcp(struct __sk_buff *skb, u16 from)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket, *found;
	u64 first = 7, *value;

	addresses(&tuple, from, listener);
	socket = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	fact(socket != 0);
	if (!socket)
		return;
	look(socket);
	found = bpf_sk_fullsock(socket);
	fact(found == socket);
	fact(bpf_tcp_sock(socket) != 0);
	found = bpf_get_listener_sock(socket);
	fact(found ? found->state : 0);
	fact(!!bpf_sk_storage_get(&values, socket, 0, 0));
	fact(bpf_sk_storage_delete(&values, socket));
	value = bpf_sk_storage_get(&values, socket, &first, BPF_SK_STORAGE_GET_F_CREATE);
	fact(value ? *value : 0);
	if (value)
		*value = 8;
	value = bpf_sk_storage_get(&values, socket, &first, BPF_SK_STORAGE_GET_F_CREATE);
	fact(value ? *value : 0);
	fact(bpf_sk_storage_delete(&values, socket));
	fact(bpf_sk_storage_delete(&values, socket));
	fact(bpf_sk_release(socket));
}

SEC("tc")
int of_tcp(struct __sk_buff *skb)
{
	tcp(skb, client);
	tcp(skb, 1);
	return 0;
}

SEC("cgroup_skb/ingress")
int of_groups(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

	addresses(&tuple, client, listener);
	socket = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	fact(socket != 0);
	if (!socket)
		return 1;
	fact(bpf_sk_cgroup_id(socket) != 0);
	fact(bpf_sk_ancestor_cgroup_id(socket, 0) != 0);
	fact(bpf_sk_ancestor_cgroup_id(socket, 100));
	bpf_sk_release(socket);
	return 1;
}

SEC("tc")
int common(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

	addresses(&tuple, client, listener);
	socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	fact(socket != 0);
	if (socket) {
		fact(socket->state);
		fact(socket->family);
		fact(bpf_sk_release(socket));
	}
	addresses(&tuple, 1, 1);
	socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	fact(socket != 0);
	if (socket)
		bpf_sk_release(socket);
	return 0;
}

SEC("tc")
int of_udp(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

	addresses(&tuple, 1, datagrams);
	socket = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	fact(socket != 0);
	if (!socket)
		return 1;
	look(socket);
	fact(bpf_tcp_sock(socket) != 0);
	fact(bpf_get_listener_sock(socket) != 0);
	fact(bpf_sk_release(socket));
	return 0;
}

SEC("tc")
int none(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

#define LOOK(from, to, size, netns, flags) do { \
	addresses(&tuple, from, to); \
	socket = bpf_sk_lookup_tcp(skb, &tuple, size, netns, flags); \
	fact(socket != 0); \
	if (socket) \
		bpf_sk_release(socket); \
} while (0)
	LOOK(client, listener, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	LOOK(client, 1, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	LOOK(client, listener, sizeof(tuple.ipv4) - 1, BPF_F_CURRENT_NETNS, 0);
	LOOK(client, listener, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	LOOK(client, listener, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 1);
	LOOK(client, listener, sizeof(tuple.ipv4), 0x7fffffff, 0);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} groups SEC(".maps");

/* The packet of a test run: it has a socket that is nobody's. */
SEC("tc")
int packet(struct __sk_buff *skb)
{
	fact(bpf_get_socket_cookie(skb) != 0);
	fact(bpf_get_netns_cookie(skb) != 0);
	fact(bpf_get_numa_node_id());
	fact(bpf_skb_cgroup_id(skb) != 0);
	fact(bpf_skb_ancestor_cgroup_id(skb, 100));
	fact(bpf_skb_cgroup_classid(skb));
	fact(bpf_skb_under_cgroup(skb, &groups, 0));
	fact(bpf_skb_under_cgroup(skb, &groups, 1));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
