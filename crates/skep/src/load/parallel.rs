//! Loading many programs at once: the kernel verifies each by itself, so that several CPUs shorten
//! the wait.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Fewer programs than this are not worth a thread more: starting one costs as much as verifying a
/// few.
const PROGRAMS_A_THREAD: usize = 16;

/// The results of `load` for each item, in order; after an error, the error of the first item that
/// has one, as if they were loaded one by one.
///
/// Threads that can't be had are done without: the caller's own takes part.
pub(super) fn each<T, R, E>(
    items: &[T],
    load: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    T: Sync,
    R: Send + Sync,
    E: Send + Sync,
{
    let useful = items.len() / PROGRAMS_A_THREAD;
    if useful < 2 {
        return items.iter().map(load).collect();
    }
    let threads = thread::available_parallelism().map_or(1, |cpus| cpus.get().min(useful));
    let results: Vec<OnceLock<Result<R, E>>> = items.iter().map(|_| OnceLock::new()).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        // Items are taken in order and each that was taken is finished, so that all before one
        // that failed have their result.
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(place)) = (items.get(index), results.get(index)) else {
                break;
            };
            let result = load(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            let _ = place.set(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            let builder = thread::Builder::new().name("skep-load".into());
            if builder.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    // The first that was not taken stands behind the error.
    results
        .into_iter()
        .map_while(OnceLock::into_inner)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn results_are_in_order() {
        for count in [0, 1, 31, 32, 500] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = each(&items, |item| Ok::<_, ()>(item * 2));
            assert_eq!(doubled, Ok(items.iter().map(|item| item * 2).collect()));
        }
    }

    #[test]
    fn the_first_error_counts() {
        let items: Vec<usize> = (0..500).collect();
        for _ in 0..50 {
            let result = each(&items, |item| match item {
                100 => {
                    std::thread::yield_now();
                    Err(100)
                }
                101.. => Err(*item),
                _ => Ok(()),
            });
            assert_eq!(result, Err(100));
        }
    }
}
