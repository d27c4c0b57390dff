//! Panics of a library that reads damaged files, as errors. Polars panics over some damaged footers; who named such a
//! file is told so in words, and sees no stack.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// Whether a panic of this thread is caught, and therefore told elsewhere.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Does some work; what it panicked with, in words, if it did. Nothing that it changed may be used then.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                usual(panic);
            }
        }));
    });
    let before = IS_CAUGHT.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    done.map_err(|panic| words(&*panic))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    // The first line says what; others belong to those who debug the library.
    let first = text.and_then(|text| text.lines().next()).unwrap_or("no reason given");
    first.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_in_words() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("broken {}\nand more", 5) }), Err("broken 5".to_owned()));
        assert_eq!(caught(|| -> u8 { panic!("a footer") }), Err("a footer".to_owned()));
        assert!(!IS_CAUGHT.get());
    }
}
