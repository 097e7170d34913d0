//! Guests of a wanted size whose every byte is code: loops, loads, stores, branches and calls between functions, as
//! compilers make them. Guests of real toolchains have data too, which costs nothing to compile.

use std::fmt::Write as _;

use crate::harness::Failure;

/// What answers with its payload.
const ECHO: &str = r#"
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 2)
  (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
    (call $request (i32.const 64) (i32.const 4096))
    (call $response (i32.const 4096) (local.get $len))
    (i32.const 1))"#;

/// Functions of the guests whose sizes tell the size of a function.
const FEW: u32 = 100;

/// Makes a guest of about so many bytes; another seed gives other code in every function.
pub(crate) fn guest(bytes: usize, seed: u32) -> Result<Vec<u8>, Failure> {
    let (few, more) = (assemble(FEW, seed)?.len(), assemble(2 * FEW, seed)?.len());
    let functions = bytes.saturating_sub(few) / ((more - few) / FEW as usize).max(1);
    assemble(FEW + u32::try_from(functions)?, seed)
}

fn assemble(functions: u32, seed: u32) -> Result<Vec<u8>, Failure> {
    let mut text = format!("(module {ECHO}");
    for number in 0..functions {
        function(&mut text, number, seed)?;
    }
    text.push(')');
    Ok(wat::parse_str(text)?)
}

/// A function of some hundred bytes, which calls the one before it.
fn function(text: &mut String, number: u32, seed: u32) -> Result<(), Failure> {
    // Numbers without a pattern that a compiler could share between functions.
    let mixed = |salt: u32| (number ^ seed.rotate_left(11)).wrapping_mul(2_654_435_761).rotate_left(salt) ^ salt;
    let constant = |salt: u32| mixed(salt) | 0x1000_0000;
    let offset = |salt: u32| mixed(salt) % 1024 * 4;
    let callee = number.saturating_sub(1);
    write!(
        text,
        r"(func $f{number} (param $a i32) (param $b i32) (result i32) (local $n i32) (local $wide i64)
            (local.set $n (i32.xor (local.get $a) (i32.const {})))
            (loop $next
              (if (i32.lt_u (i32.load offset={} (i32.and (local.get $n) (i32.const 65532))) (local.get $b))
                (then (i32.store offset={} (i32.and (local.get $n) (i32.const 65532)) (local.get $b)))
                (else (local.set $wide (i64.add (i64.mul (local.get $wide) (i64.const {}))
                  (i64.extend_i32_u (local.get $n))))))
              (local.set $n (i32.add (local.get $n) (i32.const {})))
              (br_if $next (i32.gt_u (local.get $n) (i32.const {}))))
            (if (i32.and (local.get $n) (i32.const 1))
              (then (local.set $b (call $f{callee} (local.get $n) (i32.wrap_i64 (local.get $wide))))))
            (i32.add (local.get $b) (i32.wrap_i64 (i64.shr_u (local.get $wide) (i64.const 7)))))",
        constant(3),
        offset(5),
        offset(7),
        constant(9),
        constant(13),
        constant(17),
    )?;
    Ok(())
}

/// The same code with another hash: a custom section with this number is put behind it.
pub(crate) fn version(guest: &[u8], number: u32) -> Vec<u8> {
    // Id 0, five bytes: a name of no letters, and the number.
    let section = [&[0, 5, 0][..], &number.to_le_bytes()].concat();
    [guest, &section].concat()
}
