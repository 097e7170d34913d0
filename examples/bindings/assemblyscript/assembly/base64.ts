// Bytes in JSON.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function encode(buffer: ArrayBuffer): string {
  const bytes = Uint8Array.wrap(buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    let bits: i32 = 0;
    for (let j = 0; j < 3; j++) bits = (bits << 8) | (i + j < bytes.length ? bytes[i + j] : 0);
    for (let j = 0; j < 4; j++) {
      text += i + j > bytes.length ? "=" : DIGITS.charAt((bits >> (18 - 6 * j)) & 63);
    }
  }
  return text;
}

export function decode(text: string): ArrayBuffer {
  while (text.endsWith("=")) text = text.substring(0, text.length - 1);
  const bytes = new Uint8Array((text.length * 3) / 4);
  let bits: i32 = 0;
  for (let i = 0, size = 0, at = 0; i < text.length; i++) {
    bits = (bits << 6) | DIGITS.indexOf(text.charAt(i));
    size += 6;
    if (size >= 8) {
      size -= 8;
      bytes[at++] = <u8>(bits >> size);
      bits &= (1 << size) - 1;
    }
  }
  return bytes.buffer;
}
