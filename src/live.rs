//! What serves now.
