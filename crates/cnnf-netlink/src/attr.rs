//! Netlink attributes (`struct nlattr`): a tolerant reader and a writer of whole messages.

/// Type bits that are flags: `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

pub(crate) const fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// One attribute, its type without the flag bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr<'a> {
    pub(crate) ty: u16,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Attr<'a> {
    pub(crate) fn nested(&self) -> Attrs<'a> {
        Attrs(self.bytes)
    }

    /// The first `N` bytes, if there are as many.
    pub(crate) fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes.first_chunk().copied()
    }

    pub(crate) fn u8(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    pub(crate) fn be16(&self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn be32(&self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn ne64(&self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// A string up to its NUL; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        let end = self.bytes.iter().position(|b| *b == 0).unwrap_or(self.bytes.len());
        String::from_utf8_lossy(&self.bytes[..end]).into_owned()
    }
}

/// Iterates over attributes; a short or lying tail ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attrs<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let [l0, l1, t0, t1] = *self.0.first_chunk::<HEADER>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let bytes = self.0.get(HEADER..len)?;
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some(Attr { ty: u16::from_ne_bytes([t0, t1]) & TYPE_MASK, bytes })
    }
}

impl<'a> Attrs<'a> {
    /// The first attribute of this type.
    pub(crate) fn find(mut self, ty: i32) -> Option<Attr<'a>> {
        Iterator::find(&mut self, |a| i32::from(a.ty) == ty)
    }
}

/// Appends netlink messages to a buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    pub(crate) buf: Vec<u8>,
    start: usize,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts a message: type, flags, sequence number; [`end`](Self::end) closes it.
    pub(crate) fn begin(&mut self, ty: u16, flags: i32, seq: u32) -> &mut Self {
        self.start = self.buf.len();
        self.buf.extend_from_slice(&[0; 4]);
        self.buf.extend_from_slice(&ty.to_ne_bytes());
        self.buf.extend_from_slice(&(flags as u16).to_ne_bytes());
        self.buf.extend_from_slice(&seq.to_ne_bytes());
        self.buf.extend_from_slice(&[0; 4]);
        self
    }

    /// The netfilter subsystems' second header, `struct nfgenmsg`.
    pub(crate) fn nfgen(&mut self, family: u8, res_id: u16) -> &mut Self {
        let [hi, lo] = res_id.to_be_bytes();
        self.raw(&[family, 0, hi, lo])
    }

    /// A fixed header's bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.buf.extend_from_slice(bytes);
        self
    }

    /// An attribute. Callers keep values below 64 KiB: the length field has 16 bits.
    pub(crate) fn attr(&mut self, ty: i32, bytes: &[u8]) -> &mut Self {
        debug_assert!(bytes.len() + HEADER <= usize::from(u16::MAX));
        self.buf.extend_from_slice(&((bytes.len() + HEADER) as u16).to_ne_bytes());
        self.buf.extend_from_slice(&(ty as u16).to_ne_bytes());
        self.buf.extend_from_slice(bytes);
        self.pad();
        self
    }

    pub(crate) fn be32(&mut self, ty: i32, value: u32) -> &mut Self {
        self.attr(ty, &value.to_be_bytes())
    }

    /// A NUL-terminated string.
    pub(crate) fn strz(&mut self, ty: i32, text: &str) -> &mut Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attr(ty, &bytes)
    }

    /// An attribute whose value is what `fill` appends.
    pub(crate) fn nest(&mut self, ty: i32, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.nest_begin(ty);
        fill(self);
        self.nest_end(at)
    }

    pub(crate) fn nest_begin(&mut self, ty: i32) -> usize {
        let at = self.buf.len();
        self.buf.extend_from_slice(&[0; 2]);
        self.buf.extend_from_slice(&(ty as u16 | NESTED).to_ne_bytes());
        at
    }

    pub(crate) fn nest_end(&mut self, at: usize) -> &mut Self {
        let len = self.buf.len() - at;
        debug_assert!(len <= usize::from(u16::MAX));
        self.buf[at..at + 2].copy_from_slice(&(len as u16).to_ne_bytes());
        self
    }

    /// Closes the message begun last.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.pad();
        let len = (self.buf.len() - self.start) as u32;
        self.buf[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes());
        self
    }

    fn pad(&mut self) {
        self.buf.resize(align(self.buf.len()), 0);
    }
}
