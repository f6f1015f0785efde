//! One walk over a JSON body that collects the values at some pointers.
