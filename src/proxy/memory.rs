//! Settings of the allocator. glibc returns memory to the kernel as soon as 128 kB are free at a heap's end, and requests it again
//! for the next large answer: the page faults cost more than the answer. And it never returns free memory in the middle of a heap,
//! where the buffers of resting connections were.

#![allow(unsafe_code, reason = "glibc's settings have no safe wrapper")]

/// The free memory that a heap keeps at its end.
#[cfg(target_env = "gnu")]
const KEEP_BYTES: usize = 16 << 20;

/// The same after much was freed.
#[cfg(target_env = "gnu")]
const KEEP_LITTLE_BYTES: usize = 1 << 20;

/// Makes the allocator keep freed memory for the next answer. Called once, before there are threads.
#[cfg(target_env = "gnu")]
pub fn keep_freed() {
    // SAFETY: `mallopt` takes two integers.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES as libc::c_int) };
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, KEEP_BYTES as libc::c_int) };
}

/// Returns whole free pages to the kernel. Takes about a millisecond, for the whole process.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: `malloc_trim` takes an integer and may be called at any time from any thread.
    unsafe { libc::malloc_trim(KEEP_LITTLE_BYTES) };
}

// Other allocators need no settings.
#[cfg(not(target_env = "gnu"))]
pub fn keep_freed() {}

#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
