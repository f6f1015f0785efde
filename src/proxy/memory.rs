//! What is said to the allocator. glibc gives memory back to the kernel as soon as 128 kB lie free at a heap's end, and
//! asks for it again with the next large answer: page faults that cost more than the answer did. And it never gives
//! back what lies free in a heap's middle, which is where resting connections leave their buffers.

/// A heap keeps this much free memory at its end.
#[cfg(target_env = "gnu")]
const KEEP_BYTES: usize = 16 << 20;

/// Keeps freed memory for the next answer. Called once, before there are threads.
#[cfg(target_env = "gnu")]
pub fn keep_freed() {
    // SAFETY: `mallopt` takes two integers.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES as libc::c_int);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEEP_BYTES as libc::c_int);
    }
}

/// Gives back the whole pages that lie free: a millisecond or so, for the whole process.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: `malloc_trim` takes an integer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(KEEP_BYTES);
    }
}

/// Other allocators do as they do.
#[cfg(not(target_env = "gnu"))]
pub fn keep_freed() {}

#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
