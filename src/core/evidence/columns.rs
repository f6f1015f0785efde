//! Logarithms and exponentials of many numbers at once, without a branch, so that the compiler computes several with one
//! instruction. Both are right to about 1e-15, and the same on every machine.

/// The number of rows that are computed together: their columns fit into the nearest cache.
pub(super) const LENGTH: usize = 128;

/// One number for each of these rows.
pub(super) type Column = [f64; LENGTH];

/// Columns are computed in whole groups of this many rows.
pub(super) const LANES: usize = 8;

/// Like `f64::min`, except for NaN: one instruction.
#[inline(always)]
pub(super) fn least(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

const LN_2: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);
/// The bits of √½ and of 1.
const HALF_ROOT: u64 = 0x3fe6_a09e_0000_0000;
const ONE: u64 = 0x3ff0_0000_0000_0000;
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
/// 2^52. Its bits with a smaller whole number in the lowest bits are the double of the sum of both.
const WHOLE: f64 = 4_503_599_627_370_496.0;
/// 1.5 · 2^52. A double that is added to it is rounded to a whole number, which is in the lowest bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// ln x of a normal number above 0: `x = 2^k (1 + f)` with `√½ ≤ 1 + f < √2`, as Sun's fdlibm does it.
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits().wrapping_add(ONE - HALF_ROOT);
    let k = f64::from_bits(WHOLE.to_bits() | bits >> 52) - (WHOLE + 1023.0);
    let f = f64::from_bits((bits & MANTISSA) + HALF_ROOT) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (0.399_999_999_994_094_2 + w * (0.222_221_984_321_497_84 + w * 0.153_138_376_992_093_73));
    let odd = z * (0.666_666_666_666_673_5 + w * (0.285_714_287_436_623_9 + w * (0.181_835_721_616_180_5 + w * 0.147_981_986_051_165_86)));
    let half = 0.5 * f * f;
    s * (half + (even + odd)) + k * LN_2.1 - half + f + k * LN_2.0
}

/// Below this [`exp`] is wrong. For every use e^x is 0 there, but `exp_all` computes it exactly all the same.
const EXP_LEAST: f64 = -700.0;

/// e^x of a number between [`EXP_LEAST`] and 700: `x = k ln 2 + r`, and Taylor's series of r.
#[inline(always)]
fn exp(x: f64) -> f64 {
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN_2.0) - k * LN_2.1;
    let (r2, r4) = (r * r, (r * r) * (r * r));
    let a = (C[0] + C[1] * r) + r2 * (C[2] + C[3] * r);
    let b = (C[4] + C[5] * r) + r2 * (C[6] + C[7] * r);
    let c = (C[8] + C[9] * r) + r2 * C[10];
    let series = 1.0 + (r + r2 * (a + r4 * (b + r4 * c)));
    series * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

/// 1/2!, 1/3! …
const C: [f64; 11] = {
    let mut factors = [0.5; 11];
    let mut n = 1;
    while n < 11 {
        factors[n] = factors[n - 1] / (n + 2) as f64;
        n += 1;
    }
    factors
};

/// e^x of each number.
#[inline(always)]
pub(super) fn exp_all(xs: &[f64], out: &mut [f64]) {
    for (out, x) in out.iter_mut().zip(xs) {
        *out = exp(*x);
    }
    for (out, x) in out.iter_mut().zip(xs) {
        if *x < EXP_LEAST {
            *out = x.exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(got: f64, want: f64) -> bool {
        (got - want).abs() <= 2e-15 * want.abs()
    }

    proptest! {
        #[test]
        fn logarithms_are_those_of_the_library(exponent in -300.0..300.0_f64, near_one in 1.0..3.0_f64) {
            prop_assert!(near(ln(10.0_f64.powf(exponent)), 10.0_f64.powf(exponent).ln()));
            prop_assert!((ln(near_one) - near_one.ln()).abs() <= 4e-16);
        }

        #[test]
        fn exponentials_are_those_of_the_library(x in -2_000.0..25.0_f64) {
            let mut out = [0.0; LENGTH];
            exp_all(&[x; LENGTH], &mut out);
            prop_assert!(near(out[LENGTH - 1], x.exp()), "{} {}", out[0], x.exp());
        }
    }

    #[test]
    fn one_and_nought() {
        let mut out = [0.0; LENGTH];
        exp_all(&[0.0; LENGTH], &mut out);
        assert_eq!((ln(1.0), out[0]), (0.0, 1.0));
    }
}
