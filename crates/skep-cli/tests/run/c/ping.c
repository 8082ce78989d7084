/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Three echo requests to an address, and their answers; ends with 7 if all came. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static unsigned short checksum(const unsigned char *bytes, int len)
{
	unsigned int sum = 0;

	for (int i = 0; i + 1 < len; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = 10 };
	int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	if (argc < 2 || s < 0 || !inet_pton(AF_INET, argv[1], &to.sin_addr))
		return 1;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < 3; i++) {
		unsigned char packet[16] = { 8, 0, 0, 0, 0, 77, 0, i, 'h', 'e', 'l', 'l', 'o' }, in[256];
		unsigned short sum = checksum(packet, sizeof(packet));
		int len;

		packet[2] = sum >> 8;
		packet[3] = sum;
		if (sendto(s, packet, sizeof(packet), 0, (void *)&to, sizeof(to)) < 0)
			return 2;
		do {
			len = recv(s, in, sizeof(in), 0);
			if (len < 36)
				return 3;
		} while (in[20] != 0);
		if (in[27] != i || checksum(in + 20, len - 20) || memcmp(in + 28, "hello", 5))
			return 4;
		printf("answer %d\n", i);
	}
	fflush(stdout);
	return 7;
}
