//! One word for the driver that nearly all holders need, and for what few of them need besides it.
//!
//! # Life story of an [`Owner`]
//!
//! *plain*: it points to the driver and owns a count of it. *extended*, marked by the lowest bit:
//! it owns a box with that count and an `E`. It goes from the first to the second when somebody
//! first asks for the `E`, and never back. The driver and a box that is there stay where they are
//! until the owner is dropped, so references to both may be given out. On drop it gives up the
//! count, and the box with what is in it. It stays on one thread.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::rc::Rc;

use super::Driver;

/// The mark of the extended state; drivers and boxes are aligned to more.
const EXTENDED: usize = 1;

struct Extended<E> {
    driver: Rc<Driver>,
    extra: E,
}

/// A count of a driver, and perhaps an `E`.
pub(crate) struct Owner<E> {
    tagged: Cell<NonNull<()>>,
    _owns: PhantomData<(Rc<Driver>, Box<Extended<E>>)>,
}

/// What the word says.
enum Word<'a, E> {
    Plain(NonNull<Driver>),
    Extended(&'a Extended<E>),
}

impl<E> Owner<E> {
    pub(crate) fn new(driver: Rc<Driver>) -> Self {
        // SAFETY: a pointer into a counted allocation is not null.
        let plain = unsafe { NonNull::new_unchecked(Rc::into_raw(driver).cast_mut()) };
        Owner { tagged: Cell::new(plain.cast()), _owns: PhantomData }
    }

    /// The box, if the word points to one.
    fn boxed(&self) -> Option<NonNull<Extended<E>>> {
        let tagged = self.tagged.get();
        let marked = tagged.addr().get() & EXTENDED != 0;
        // SAFETY: a marked address is one byte behind the start of the box, and within it.
        marked.then(|| unsafe { tagged.byte_sub(EXTENDED) }.cast())
    }

    fn word(&self) -> Word<'_, E> {
        match self.boxed() {
            // SAFETY: marked, so it is the box that `extra_or_default` made, and it stands until
            // `drop`. Only shared references to it are made before that.
            Some(boxed) => Word::Extended(unsafe { boxed.as_ref() }),
            None => Word::Plain(self.tagged.get().cast()),
        }
    }

    pub(crate) fn driver(&self) -> &Driver {
        match self.word() {
            // SAFETY: not marked, so it came from `Rc::into_raw`. The count is ours until `drop`;
            // becoming extended only puts it elsewhere.
            Word::Plain(driver) => unsafe { driver.as_ref() },
            Word::Extended(extended) => &extended.driver,
        }
    }

    /// A count of one's own.
    pub(crate) fn shared_driver(&self) -> Rc<Driver> {
        match self.word() {
            Word::Plain(driver) => {
                // SAFETY: from `Rc::into_raw`; the count is not given up here.
                Rc::clone(&ManuallyDrop::new(unsafe { Rc::from_raw(driver.as_ptr()) }))
            }
            Word::Extended(extended) => extended.driver.clone(),
        }
    }

    /// The extra, if it was ever asked for.
    pub(crate) fn extra(&self) -> Option<&E> {
        match self.word() {
            Word::Plain(_) => None,
            Word::Extended(extended) => Some(&extended.extra),
        }
    }

    /// The extra, made now if it was never asked for.
    pub(crate) fn extra_or_default(&self) -> &E
    where
        E: Default,
    {
        // Made before the word is looked at: that is foreign code.
        let fresh = self.boxed().is_none().then(E::default);
        if let (Word::Plain(driver), Some(extra)) = (self.word(), fresh) {
            // SAFETY: from `Rc::into_raw`; the count goes into the box.
            let driver = unsafe { Rc::from_raw(driver.as_ptr()) };
            let boxed = NonNull::from(Box::leak(Box::new(Extended { driver, extra })));
            self.tagged.set(boxed.cast().map_addr(|address| address | EXTENDED));
        }
        self.extra().expect("extended by now")
    }
}

impl<E> Drop for Owner<E> {
    fn drop(&mut self) {
        let tagged = self.tagged.get().as_ptr();
        if tagged.addr() & EXTENDED == 0 {
            // SAFETY: from `Rc::into_raw`; the count is ours to give up.
            drop(unsafe { Rc::from_raw(tagged.cast::<Driver>().cast_const()) });
        } else {
            let boxed = tagged.map_addr(|address| address & !EXTENDED).cast::<Extended<E>>();
            // SAFETY: the box that `extra_or_default` made; nothing refers to it any more.
            drop(unsafe { Box::from_raw(boxed) });
        }
    }
}

const _: () = assert!(align_of::<Driver>() > EXTENDED && align_of::<Rc<Driver>>() > EXTENDED);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::bufpool::Shape;
    use crate::driver::ring::Ring;

    /// An extra that says when it is dropped.
    #[derive(Default)]
    struct Extra(Cell<Option<Rc<()>>>);

    fn driver() -> Rc<Driver> {
        Driver::new(Ring::Closed, Shape { buffers: 1, size: 64 })
    }

    #[test]
    fn an_owner_without_an_extra_is_a_count() {
        let driver = driver();
        let owner = Owner::<Extra>::new(driver.clone());
        assert!(owner.extra().is_none());
        assert!(std::ptr::eq(owner.driver(), &*driver));
        assert_eq!(Rc::strong_count(&driver), 2);
        assert_eq!(Rc::strong_count(&owner.shared_driver()), 3);
        drop(owner);
        assert_eq!(Rc::strong_count(&driver), 1);
    }

    #[test]
    fn the_extra_is_made_once_and_goes_with_the_owner() {
        let (driver, token) = (driver(), Rc::new(()));
        let owner = Owner::<Extra>::new(driver.clone());
        let before = owner.driver();
        owner.extra_or_default().0.set(Some(token.clone()));
        assert!(std::ptr::eq(before, owner.driver()), "the driver stays where it is");
        let again = std::ptr::from_ref(owner.extra_or_default());
        assert!(std::ptr::eq(again, owner.extra().expect("it was made")));
        assert_eq!(Rc::strong_count(&owner.shared_driver()), 3);
        assert_eq!(Rc::strong_count(&token), 2);
        drop(owner);
        assert_eq!((Rc::strong_count(&driver), Rc::strong_count(&token)), (1, 1));
    }
}
