/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counting and mapping over macro arguments: what every variadic macro of
 * these headers is made from. Internal: programs should not rely on it.
 */
#ifndef __SKEP_PREPROCESSOR_H__
#define __SKEP_PREPROCESSOR_H__

#define __skep_paste(a, b) a##b
#define __skep_cat(a, b) __skep_paste(a, b)

/* How many arguments, 0 to 24. */
#define __skep_count(...) \
	__skep_25th(0, ##__VA_ARGS__, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, \
		    13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define __skep_25th(zero, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, \
		    t, u, v, w, x, count, ...) \
	count

/*
 * __skep_each(each, a, b, c) becomes each(0, a) each(1, b) each(2, c);
 * up to 12 arguments, the first number being the argument's position.
 */
#define __skep_each(each, ...) \
	__skep_cat(__skep_each_, __skep_count(__VA_ARGS__))(each, ##__VA_ARGS__)
#define __skep_each_0(each)
#define __skep_each_1(each, a) each(0, a)
#define __skep_each_2(each, a, b) each(0, a) each(1, b)
#define __skep_each_3(each, a, b, c) each(0, a) each(1, b) each(2, c)
#define __skep_each_4(each, a, b, c, d) each(0, a) each(1, b) each(2, c) each(3, d)
#define __skep_each_5(each, a, b, c, d, e) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e)
#define __skep_each_6(each, a, b, c, d, e, f) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f)
#define __skep_each_7(each, a, b, c, d, e, f, g) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f) \
	each(6, g)
#define __skep_each_8(each, a, b, c, d, e, f, g, h) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f) \
	each(6, g) each(7, h)
#define __skep_each_9(each, a, b, c, d, e, f, g, h, i) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f) \
	each(6, g) each(7, h) each(8, i)
#define __skep_each_10(each, a, b, c, d, e, f, g, h, i, j) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f) \
	each(6, g) each(7, h) each(8, i) each(9, j)
#define __skep_each_11(each, a, b, c, d, e, f, g, h, i, j, k) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f) \
	each(6, g) each(7, h) each(8, i) each(9, j) each(10, k)
#define __skep_each_12(each, a, b, c, d, e, f, g, h, i, j, k, l) \
	each(0, a) each(1, b) each(2, c) each(3, d) each(4, e) each(5, f) \
	each(6, g) each(7, h) each(8, i) each(9, j) each(10, k) each(11, l)

/*
 * __skep_pairs(each, slots, t, a, u, b) walks (type, name) pairs:
 * each(0, t, a) each(0 + slots(t), u, b); up to 12 pairs. The first number is
 * the sum of what `slots` says of the types before.
 */
#define __skep_pairs(each, slots, ...) \
	__skep_cat(__skep_pairs_, __skep_count(__VA_ARGS__))(each, slots, 0, ##__VA_ARGS__)
#define __skep_pairs_0(each, slots, at)
#define __skep_pairs_2(each, slots, at, t, x) each(at, t, x)
#define __skep_pairs_4(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_2(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_6(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_4(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_8(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_6(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_10(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_8(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_12(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_10(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_14(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_12(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_16(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_14(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_18(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_16(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_20(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_18(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_22(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_20(each, slots, at + slots(t), __VA_ARGS__)
#define __skep_pairs_24(each, slots, at, t, x, ...) \
	each(at, t, x) __skep_pairs_22(each, slots, at + slots(t), __VA_ARGS__)

#endif /* __SKEP_PREPROCESSOR_H__ */
