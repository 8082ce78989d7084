/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * glibc's <gnu/stubs.h> takes every target it does not know, BPF among them,
 * for a 32-bit one and asks for this file, which only multilib packages bring.
 * It lists functions that are missing from the C library; a BPF program has no
 * C library, so an empty list is right.
 */
