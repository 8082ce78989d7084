//! The values that CPUs have of one entry, as one: numbers are added up, as `skep run` shows them.

use super::{Meaning, Shape, Type, fields, read_bits, write_bits};

/// One value of all CPUs': sums of what can be added, and of all else what the first CPU has that
/// is not zero.
pub(crate) fn combine(of: &Type, values: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0; of.size()];
    write(of, values, &mut out, 0);
    out
}

fn write(of: &Type, values: &[&[u8]], out: &mut [u8], depth: u32) {
    match of.shape() {
        Shape::Number(number)
            if matches!(number.meaning, Meaning::Plain | Meaning::Time) && !number.network =>
        {
            let all = values.iter().filter_map(|value| number.read(value));
            let sum = all.fold(0_i128, i128::wrapping_add);
            let _ = number.write(sum, out);
        }
        Shape::Array {
            element, stride, ..
        } if depth < 16 => {
            let stride = stride.max(1);
            for (index, out) in out.chunks_exact_mut(stride).enumerate() {
                let start = index.saturating_mul(stride);
                let parts = parts(values, start, stride);
                write(&element, &parts, out, depth.saturating_add(1));
            }
        }
        Shape::Struct {
            btf,
            composite,
            union: false,
        } if depth < 16 => {
            for field in fields(btf, &composite) {
                if field.bits > 0 {
                    let all = values
                        .iter()
                        .filter_map(|value| read_bits(value, field.bit_offset, field.bits, false));
                    let sum = all.fold(0_i128, i128::wrapping_add);
                    let _ = write_bits(out, field.bit_offset, field.bits, sum);
                    continue;
                }
                let (start, size) = (field.offset(), field.of.size());
                let parts = parts(values, start, size);
                if let Some(out) = out.get_mut(start..start.saturating_add(size)) {
                    write(&field.of, &parts, out, depth.saturating_add(1));
                }
            }
        }
        _ => {
            let first = values
                .iter()
                .find(|value| value.iter().any(|byte| *byte != 0));
            if let Some(first) = first.filter(|first| first.len() == out.len()) {
                out.copy_from_slice(first);
            }
        }
    }
}

fn parts<'v>(values: &[&'v [u8]], start: usize, size: usize) -> Vec<&'v [u8]> {
    let part = |value: &&'v [u8]| value.get(start..start.saturating_add(size));
    values.iter().filter_map(part).collect()
}
