//! libnftnl: the objects and expressions that it encodes, and all of this module's `unsafe`.
//!
//! libnftnl checks no lengths, so [`super::Batch`] does before anything comes here: names up to
//! 255 bytes without NUL, values up to 64 bytes, prefixes up to 127, 128 expressions a rule.
//! With them the longest message stays below [`ROOM`].
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;

use nftnl::expr::Expression;
use nftnl::{Chain, Hook, MsgType, NlMsg, ProtoFamily, Rule, Table};
use nftnl_sys as sys;
use nftnl_sys::libc;

use super::abi;
use super::batch::BaseHook;
use super::expr::{Expr, Reject, SocketKey};
use super::types::{Maps, SetSpec};

/// A rule of 128 expressions with two names of 255 bytes each stays below it, and so does
/// libnftnl's own bound of 64 KiB and a page.
const ROOM: usize = 256 * 1024;

/// A buffer for one message, aligned as a netlink header must be.
pub(super) struct Scratch(Vec<u64>);

impl Scratch {
    /// Takes no memory until it is used: a batch of elements alone does not need it.
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    fn start(&mut self) -> *mut c_void {
        self.0.resize(ROOM / size_of::<u64>(), 0);
        self.0.as_mut_ptr().cast()
    }

    /// The message that was just written to the start of the buffer.
    fn message(&self) -> &[u8] {
        let room = self.0.len() * size_of::<u64>();
        // SAFETY: the vector's memory, initialised, borrowed as long as the slice; any bytes are u8.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), room) };
        let len = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        &bytes[..len]
    }

    fn object(&mut self, object: &impl NlMsg, seq: u32, message: MsgType) -> &[u8] {
        // SAFETY: `write` asks for room for the largest message, which ROOM is (module comment),
        // and for the alignment of a header, which u64 has.
        unsafe { object.write(self.start(), seq, message) };
        self.message()
    }

    pub(super) fn chain(
        &mut self,
        table: &CStr,
        name: &CStr,
        base: Option<BaseHook>,
        seq: u32,
        message: MsgType,
    ) -> &[u8] {
        let table = Table::new(table, ProtoFamily::Inet);
        let mut chain = Chain::new(name, &table);
        if let Some(BaseHook { hook, priority }) = base {
            let hook = match hook {
                super::batch::Hook::Input => Hook::In,
                super::batch::Hook::Output => Hook::Out,
                super::batch::Hook::Forward => Hook::Forward,
            };
            chain.set_hook(hook, priority);
            chain.set_type(nftnl::ChainType::Filter);
        }
        self.object(&chain, seq, message)
    }

    pub(super) fn rule(
        &mut self,
        table: &CStr,
        chain: &CStr,
        exprs: &[Expr],
        comment: Option<&CStr>,
        seq: u32,
    ) -> Result<&[u8], String> {
        let table = Table::new(table, ProtoFamily::Inet);
        let chain = Chain::new(chain, &table);
        let mut rule = Rule::new(&chain);
        for e in exprs {
            rule.add_expr(&Encoded(e));
        }
        if let Some(c) = comment {
            rule.set_comment(c).map_err(str::to_owned)?;
        }
        Ok(self.object(&rule, seq, MsgType::Add))
    }

    pub(super) fn delete_rule(&mut self, table: &CStr, chain: &CStr, handle: u64, seq: u32) -> &[u8] {
        let table = Table::new(table, ProtoFamily::Inet);
        let chain = Chain::new(chain, &table);
        let mut rule = Rule::new(&chain);
        rule.set_handle(handle);
        self.object(&rule, seq, MsgType::Del)
    }

    pub(super) fn set(&mut self, table: &CStr, name: &CStr, spec: &SetSpec, id: u32, seq: u32) -> &[u8] {
        // SAFETY: the object is ours alone until it is freed below, the strings and the user data
        // are copied by the setters, each attribute has the type that libnftnl's table says, and
        // ROOM holds a set's definition (two names and 28 bytes of user data).
        unsafe {
            let set = NonNull::new(sys::nftnl_set_alloc()).unwrap_or_else(|| out_of_memory());
            let s = set.as_ptr();
            let put = |attr: u32, value: u32| sys::nftnl_set_set_u32(s, attr as u16, value);
            sys::nftnl_set_set_str(s, sys::NFTNL_SET_TABLE as u16, table.as_ptr());
            sys::nftnl_set_set_str(s, sys::NFTNL_SET_NAME as u16, name.as_ptr());
            put(sys::NFTNL_SET_FAMILY, libc::NFPROTO_INET as u32);
            put(sys::NFTNL_SET_ID, id);
            put(sys::NFTNL_SET_FLAGS, spec.flags());
            put(sys::NFTNL_SET_KEY_TYPE, spec.key.type_id());
            put(sys::NFTNL_SET_KEY_LEN, spec.key.len());
            let mut orders = vec![(sys::NFTNL_UDATA_SET_KEYBYTEORDER, spec.key.order())];
            match &spec.maps {
                Maps::Nothing => {}
                Maps::To(value) => {
                    put(sys::NFTNL_SET_DATA_TYPE, value.type_id());
                    put(sys::NFTNL_SET_DATA_LEN, value.len());
                    orders.push((sys::NFTNL_UDATA_SET_DATABYTEORDER, value.order()));
                }
                Maps::ToVerdict => {
                    put(sys::NFTNL_SET_DATA_TYPE, abi::DATA_VERDICT);
                    put(sys::NFTNL_SET_DATA_LEN, size_of::<*const c_void>() as u32 * 2);
                }
            }
            let user = user_data(&orders);
            sys::nftnl_set_set_data(s, sys::NFTNL_SET_USERDATA as u16, user.as_ptr().cast(), user.len() as u32);
            let header = sys::nftnl_nlmsg_build_hdr(
                self.start().cast(),
                libc::NFT_MSG_NEWSET as u16,
                libc::NFPROTO_INET as u16,
                (libc::NLM_F_CREATE | libc::NLM_F_ACK) as u16,
                seq,
            );
            sys::nftnl_set_nlmsg_build_payload(header, s);
            sys::nftnl_set_free(s);
        }
        self.message()
    }
}

/// libnftnl's user data: type and length in a byte each, then the value.
fn user_data(values: &[(u32, u32)]) -> Vec<u8> {
    values.iter().flat_map(|(ty, value)| [[*ty as u8, 4].as_slice(), &value.to_ne_bytes()].concat()).collect()
}

/// What libstd does when a small allocation fails.
fn out_of_memory() -> ! {
    std::process::abort()
}

/// Turns [`Expr`] into libnftnl's expressions.
struct Encoded<'a>(&'a Expr);

impl Expression for Encoded<'_> {
    fn to_expr(&self, _: &Rule<'_>) -> NonNull<sys::nftnl_expr> {
        match self.0 {
            Expr::Meta { key, dreg } => {
                Raw::new(c"meta").u32(sys::NFTNL_EXPR_META_KEY, *key as u32).u32(sys::NFTNL_EXPR_META_DREG, dreg.raw())
            }
            Expr::Ct { key, dir, dreg } => {
                let e =
                    Raw::new(c"ct").u32(sys::NFTNL_EXPR_CT_KEY, *key as u32).u32(sys::NFTNL_EXPR_CT_DREG, dreg.raw());
                match dir {
                    Some(d) => e.u8(sys::NFTNL_EXPR_CT_DIR, *d as u8),
                    None => e,
                }
            }
            Expr::CtSet { key, sreg } => {
                Raw::new(c"ct").u32(sys::NFTNL_EXPR_CT_KEY, *key as u32).u32(sys::NFTNL_EXPR_CT_SREG, sreg.raw())
            }
            Expr::Socket { key, dreg } => {
                let e = Raw::new(c"socket").u32(sys::NFTNL_EXPR_SOCKET_DREG, dreg.raw());
                match key {
                    SocketKey::Cgroup { level } => e
                        .u32(sys::NFTNL_EXPR_SOCKET_KEY, abi::NFT_SOCKET_CGROUPV2)
                        .u32(sys::NFTNL_EXPR_SOCKET_LEVEL, u32::from(*level)),
                    SocketKey::Mark => e.u32(sys::NFTNL_EXPR_SOCKET_KEY, abi::NFT_SOCKET_MARK),
                    SocketKey::Wildcard => e.u32(sys::NFTNL_EXPR_SOCKET_KEY, abi::NFT_SOCKET_WILDCARD),
                }
            }
            Expr::Payload { base, offset, len, dreg } => Raw::new(c"payload")
                .u32(sys::NFTNL_EXPR_PAYLOAD_BASE, *base as u32)
                .u32(sys::NFTNL_EXPR_PAYLOAD_OFFSET, *offset)
                .u32(sys::NFTNL_EXPR_PAYLOAD_LEN, *len)
                .u32(sys::NFTNL_EXPR_PAYLOAD_DREG, dreg.raw()),
            Expr::Bitwise { sreg, dreg, mask, xor } => Raw::new(c"bitwise")
                .u32(sys::NFTNL_EXPR_BITWISE_SREG, sreg.raw())
                .u32(sys::NFTNL_EXPR_BITWISE_DREG, dreg.raw())
                .u32(sys::NFTNL_EXPR_BITWISE_LEN, mask.len() as u32)
                .bytes(sys::NFTNL_EXPR_BITWISE_MASK, mask)
                .bytes(sys::NFTNL_EXPR_BITWISE_XOR, xor),
            Expr::Cmp { sreg, op, data } => Raw::new(c"cmp")
                .u32(sys::NFTNL_EXPR_CMP_SREG, sreg.raw())
                .u32(sys::NFTNL_EXPR_CMP_OP, *op as u32)
                .bytes(sys::NFTNL_EXPR_CMP_DATA, data),
            Expr::Lookup { set, sreg, dreg, invert } => {
                let mut e = Raw::new(c"lookup")
                    .text(sys::NFTNL_EXPR_LOOKUP_SET, set)
                    .u32(sys::NFTNL_EXPR_LOOKUP_SREG, sreg.raw());
                if let Some(d) = dreg {
                    e = e.u32(sys::NFTNL_EXPR_LOOKUP_DREG, d.raw());
                }
                if *invert { e.u32(sys::NFTNL_EXPR_LOOKUP_FLAGS, libc::NFT_LOOKUP_F_INV as u32) } else { e }
            }
            Expr::Immediate { dreg, data } => {
                Raw::new(c"immediate").u32(sys::NFTNL_EXPR_IMM_DREG, dreg.raw()).bytes(sys::NFTNL_EXPR_IMM_DATA, data)
            }
            Expr::Verdict(v) => {
                let e = Raw::new(c"immediate")
                    .u32(sys::NFTNL_EXPR_IMM_DREG, libc::NFT_REG_VERDICT as u32)
                    .u32(sys::NFTNL_EXPR_IMM_VERDICT, v.code() as u32);
                match v.chain() {
                    Some(c) => e.text(sys::NFTNL_EXPR_IMM_CHAIN, c),
                    None => e,
                }
            }
            Expr::Counter => Raw::new(c"counter"),
            Expr::CountBy(counter) => Raw::new(c"objref")
                .u32(sys::NFTNL_EXPR_OBJREF_IMM_TYPE, abi::NFT_OBJECT_COUNTER)
                .text(sys::NFTNL_EXPR_OBJREF_IMM_NAME, counter),
            Expr::Limit { per_second, burst, invert } => Raw::new(c"limit")
                .u64(sys::NFTNL_EXPR_LIMIT_RATE, *per_second)
                .u64(sys::NFTNL_EXPR_LIMIT_UNIT, 1)
                .u32(sys::NFTNL_EXPR_LIMIT_BURST, *burst)
                .u32(sys::NFTNL_EXPR_LIMIT_TYPE, libc::NFT_LIMIT_PKTS as u32)
                .u32(sys::NFTNL_EXPR_LIMIT_FLAGS, if *invert { libc::NFT_LIMIT_F_INV as u32 } else { 0 }),
            Expr::Log { group, prefix, snaplen, qthreshold } => {
                let mut e = Raw::new(c"log").u16(sys::NFTNL_EXPR_LOG_GROUP, *group);
                if !prefix.is_empty() {
                    e = e.text(sys::NFTNL_EXPR_LOG_PREFIX, prefix);
                }
                if *snaplen != 0 {
                    e = e.u32(sys::NFTNL_EXPR_LOG_SNAPLEN, *snaplen);
                }
                if *qthreshold != 0 { e.u16(sys::NFTNL_EXPR_LOG_QTHRESHOLD, *qthreshold) } else { e }
            }
            Expr::Queue(q) => Raw::new(c"queue")
                .u16(sys::NFTNL_EXPR_QUEUE_NUM, q.num)
                .u16(sys::NFTNL_EXPR_QUEUE_TOTAL, q.total)
                .u16(sys::NFTNL_EXPR_QUEUE_FLAGS, q.flags()),
            Expr::XtQueue(q) => {
                // struct xt_NFQ_info_v3 { queuenum, queues_total, flags: u16 }, padded to 8.
                let mut info = [0; 8];
                for (at, v) in [q.num, q.total, q.flags()].into_iter().enumerate() {
                    info[at * 2..][..2].copy_from_slice(&v.to_ne_bytes());
                }
                Raw::new(c"target")
                    .text(sys::NFTNL_EXPR_TG_NAME, "NFQUEUE")
                    .u32(sys::NFTNL_EXPR_TG_REV, 3)
                    .target_info(&info)
            }
            Expr::Reject(r) => {
                let (ty, code) = match r {
                    Reject::TcpReset => (libc::NFT_REJECT_TCP_RST, 0),
                    Reject::AdminProhibited => {
                        (libc::NFT_REJECT_ICMPX_UNREACH, libc::NFT_REJECT_ICMPX_ADMIN_PROHIBITED)
                    }
                };
                Raw::new(c"reject")
                    .u32(sys::NFTNL_EXPR_REJECT_TYPE, ty as u32)
                    .u8(sys::NFTNL_EXPR_REJECT_CODE, code as u8)
            }
        }
        .0
    }
}

/// An expression under construction; whoever takes the pointer frees it.
struct Raw(NonNull<sys::nftnl_expr>);

impl Raw {
    fn new(name: &CStr) -> Self {
        // SAFETY: a C string; the answer is null (for an unknown name or no memory) or ours.
        Self(NonNull::new(unsafe { sys::nftnl_expr_alloc(name.as_ptr()) }).unwrap_or_else(|| out_of_memory()))
    }

    fn u8(self, attr: u32, value: u8) -> Self {
        // SAFETY: the expression is alive and ours; libnftnl's attribute has this width.
        unsafe { sys::nftnl_expr_set_u8(self.0.as_ptr(), attr as u16, value) };
        self
    }

    fn u16(self, attr: u32, value: u16) -> Self {
        // SAFETY: as in `u8`.
        unsafe { sys::nftnl_expr_set_u16(self.0.as_ptr(), attr as u16, value) };
        self
    }

    fn u32(self, attr: u32, value: u32) -> Self {
        // SAFETY: as in `u8`.
        unsafe { sys::nftnl_expr_set_u32(self.0.as_ptr(), attr as u16, value) };
        self
    }

    fn u64(self, attr: u32, value: u64) -> Self {
        // SAFETY: as in `u8`.
        unsafe { sys::nftnl_expr_set_u64(self.0.as_ptr(), attr as u16, value) };
        self
    }

    fn text(self, attr: u32, value: &str) -> Self {
        // Checked before (module comment): a NUL cannot be in it.
        let value = CString::new(value).unwrap_or_default();
        // SAFETY: as in `u8`; the string is copied.
        unsafe { sys::nftnl_expr_set_str(self.0.as_ptr(), attr as u16, value.as_ptr()) };
        self
    }

    fn bytes(self, attr: u32, value: &[u8]) -> Self {
        debug_assert!(value.len() <= abi::VALUE_MAX);
        // SAFETY: as in `u8`; the bytes are copied to a field of 64, and are not more.
        unsafe { sys::nftnl_expr_set(self.0.as_ptr(), attr as u16, value.as_ptr().cast(), value.len() as u32) };
        self
    }

    /// The info of a target, which libnftnl does not copy but adopts and frees.
    fn target_info(self, info: &[u8; 8]) -> Self {
        // SAFETY: 8 bytes of C's heap, filled and handed over to the expression, which frees them.
        unsafe {
            let copy = NonNull::new(libc::calloc(1, info.len())).unwrap_or_else(|| out_of_memory());
            copy.as_ptr().copy_from_nonoverlapping(info.as_ptr().cast(), info.len());
            sys::nftnl_expr_set(self.0.as_ptr(), sys::NFTNL_EXPR_TG_INFO as u16, copy.as_ptr(), info.len() as u32);
        }
        self
    }
}
