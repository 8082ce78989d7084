//! The parser's tools: the next token, and what is built of few tokens (numbers, registers,
//! pointers, jump targets), each with the error that says what was expected.

use super::Line;
use super::error::{AssembleError, AssembleErrorKind};
use super::lexer::{Token, TokenKind};
use crate::operand::{AtomicOp, ByteOrder, NarrowSize, Operand, Size, SwapWidth, Width};
use crate::reg::Reg;

pub(super) type Result<T, E = AssembleError> = std::result::Result<T, E>;

/// The tokens of one line that are not read yet.
pub(super) struct Cursor<'a, 't> {
    line: Line<'a>,
    all: &'t [Token<'a>],
    pub(super) tokens: &'t [Token<'a>],
}

/// A label that an instruction jumps to, calls or takes the address of, and its byte in the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelUse<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
}

/// An offset, or a label that stands for it; the offset is 0 meanwhile.
pub(super) struct Target<'a> {
    pub(super) offset: Number,
    pub(super) label: Option<LabelUse<'a>>,
}

/// A number with its sign, and its byte in the line.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) value: i128,
    pub(super) hex: bool,
    pub(super) at: usize,
}

/// A typed pointer: `(u32 *)(r1 +4)`.
pub(super) struct Memory {
    pub(super) ty: MemoryType,
    /// 0 to 10, or 11 for stack arguments.
    pub(super) base: u8,
    pub(super) offset: i16,
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryType {
    Unsigned(Size),
    Signed(NarrowSize),
}

/// The least and the most that a number may be.
pub(super) type Bounds = (i64, i64);
pub(super) const I16: Bounds = (i16::MIN as i64, i16::MAX as i64);
pub(super) const I32: Bounds = (i32::MIN as i64, i32::MAX as i64);
pub(super) const U32: Bounds = (0, u32::MAX as i64);

impl<'a, 't> Cursor<'a, 't> {
    pub(super) fn new(line: Line<'a>, tokens: &'t [Token<'a>]) -> Self {
        let all = tokens;
        Self { line, all, tokens }
    }

    /// The byte in the line where the next token begins, or the line's end.
    pub(super) fn at(&self) -> usize {
        self.tokens.first().map_or(self.end(), |token| token.at)
    }

    fn end(&self) -> usize {
        let end = |last: &Token<'_>| last.at.saturating_add(last.text.len());
        self.all.last().map_or(0, end)
    }

    pub(super) fn kind(&self) -> Option<TokenKind<'a>> {
        self.tokens.first().map(|token| token.kind)
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.tokens = self.tokens.get(count..).unwrap_or_default();
    }

    /// The next word, taken.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        let Some(TokenKind::Word(word)) = self.kind() else {
            return None;
        };
        self.skip(1);
        Some(word)
    }

    /// Takes `word` if it is next.
    pub(super) fn is_word(&mut self, word: &str) -> bool {
        let is_next = self.kind() == Some(TokenKind::Word(word));
        if is_next {
            self.skip(1);
        }
        is_next
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        match self.is_word(word) {
            true => Ok(()),
            false => Err(self.expected(&format!("`{word}`"))),
        }
    }

    /// Takes `symbol` if it is next.
    pub(super) fn symbol(&mut self, symbol: &'static str) -> bool {
        let is_next = self.kind() == Some(TokenKind::Symbol(symbol));
        if is_next {
            self.skip(1);
        }
        is_next
    }

    pub(super) fn expect_symbol(&mut self, symbol: &'static str) -> Result<()> {
        match self.symbol(symbol) {
            true => Ok(()),
            false => Err(self.expected(&format!("`{symbol}`"))),
        }
    }

    /// The next number with its sign, if there is one.
    pub(super) fn number(&mut self) -> Option<Number> {
        let at = self.at();
        let sign = match self.kind()? {
            TokenKind::Symbol(sign @ ("+" | "-")) => Some(sign),
            _ => None,
        };
        let digits = usize::from(sign.is_some());
        let TokenKind::Number { value, hex } = self.tokens.get(digits)?.kind else {
            return None;
        };
        self.skip(digits.saturating_add(1));
        let value = match sign {
            Some("-") => i128::from(value).saturating_neg(),
            _ => i128::from(value),
        };
        Some(Number { value, hex, at })
    }

    pub(super) fn expect_number(&mut self, what: &str) -> Result<Number> {
        self.number().ok_or_else(|| self.expected(what))
    }

    pub(super) fn in_range<T: TryFrom<i128>>(
        &self,
        number: Number,
        what: &'static str,
        (min, max): Bounds,
    ) -> Result<T> {
        let kind = AssembleErrorKind::OutOfRange {
            what,
            value: number.value,
            min,
            max,
        };
        T::try_from(number.value)
            .ok()
            .filter(|_| (i128::from(min)..=i128::from(max)).contains(&number.value))
            .ok_or_else(|| self.line.error(number.at, kind))
    }

    /// A 32-bit immediate: a signed number, or its bits in hexadecimal.
    pub(super) fn imm32(&self, number: Number) -> Result<i32> {
        match u32::try_from(number.value) {
            Ok(bits) if number.hex => Ok(bits.cast_signed()),
            _ => self.in_range(number, "a 32-bit immediate", I32),
        }
    }

    /// The next register, of either width, if there is one.
    pub(super) fn register(&mut self) -> Option<(Width, Reg)> {
        let (width, number) = parse_register(self.tokens.first()?.text)?;
        let reg = Reg::new(number)?;
        self.skip(1);
        Some((width, reg))
    }

    /// The next register if it is one of `width`.
    pub(super) fn register_if(&mut self, width: Width) -> Option<Reg> {
        let (found, number) = parse_register(self.tokens.first()?.text)?;
        let reg = Reg::new(number).filter(|_| found == width)?;
        self.skip(1);
        Some(reg)
    }

    pub(super) fn expect_register(&mut self, width: Width) -> Result<Reg> {
        self.register_if(width)
            .ok_or_else(|| self.expected(register_of(width)))
    }

    /// The register of a memory access: 64 bits, or 32 where the memory has no more.
    pub(super) fn register_for(&mut self, size: Size) -> Result<Reg> {
        let at = self.at();
        let Some((width, reg)) = self.register() else {
            return Err(self.expected("a register"));
        };
        self.wide_enough(width, size, at)?;
        Ok(reg)
    }

    /// Takes the register that stands on the left once more.
    pub(super) fn same_register(&mut self, width: Width, reg: Reg) -> Result<()> {
        let at = self.at();
        match self.register() {
            Some(found) if found == (width, reg) => Ok(()),
            _ => Err(self.expected_at(at, "the register on the left again")),
        }
    }

    pub(super) fn operand(&mut self, width: Width) -> Result<Operand> {
        if let Some(number) = self.number() {
            return self.imm32(number).map(Operand::Imm);
        }
        self.register_if(width)
            .map(Operand::Reg)
            .ok_or_else(|| self.expected(&format!("{} or a number", register_of(width))))
    }

    pub(super) fn only_wide(&self, width: Width, at: usize) -> Result<()> {
        match width {
            Width::W64 => Ok(()),
            Width::W32 => Err(self.expected_at(at, "something that a 32-bit register can hold")),
        }
    }

    pub(super) fn wide_enough(&self, width: Width, size: Size, at: usize) -> Result<()> {
        if width == Width::W32 && size == Size::Dw {
            return Err(self.expected_at(at, "a 64-bit register with 8 bytes of memory, not this"));
        }
        Ok(())
    }

    /// `(u32 *)(r1 +4)`.
    pub(super) fn memory(&mut self) -> Result<Memory> {
        let at = self.at();
        let ty = self.pointer_type()?;
        self.expect_symbol("(")?;
        let memory = self.address(ty, at)?;
        self.expect_symbol(")")?;
        Ok(memory)
    }

    /// `(u32 *)`.
    pub(super) fn pointer_type(&mut self) -> Result<MemoryType> {
        self.expect_symbol("(")?;
        let at = self.at();
        let name = self.word().unwrap_or_default();
        let unsigned = Size::ALL
            .into_iter()
            .find(|size| size.unsigned_type() == name)
            .map(MemoryType::Unsigned);
        let signed = || {
            let mut sizes = NarrowSize::ALL.into_iter();
            sizes
                .find(|size| size.signed_type() == name)
                .map(MemoryType::Signed)
        };
        let ty = unsigned.or_else(signed).ok_or_else(|| {
            self.expected_at(at, "a type: u8, u16, u32 or u64, or s8, s16 or s32 to load")
        })?;
        self.expect_symbol("*")?;
        self.expect_symbol(")")?;
        Ok(ty)
    }

    /// `r1 +4`; `at` is where the pointer begins.
    pub(super) fn address(&mut self, ty: MemoryType, at: usize) -> Result<Memory> {
        let base = self
            .tokens
            .first()
            .and_then(|token| parse_register(token.text));
        let Some((Width::W64, base)) = base else {
            return Err(self.expected("a 64-bit register that points to memory"));
        };
        self.skip(1);
        let offset = match self.number() {
            Some(number) => self.in_range(number, "a 16-bit offset", I16)?,
            None => 0,
        };
        Ok(Memory {
            ty,
            base,
            offset,
            at,
        })
    }

    /// The size of memory that is not loaded with a sign.
    pub(super) fn unsigned(&self, memory: &Memory) -> Result<Size> {
        match memory.ty {
            MemoryType::Unsigned(size) => Ok(size),
            MemoryType::Signed(_) => Err(self.expected_at(
                memory.at,
                "an unsigned type, as only loads have signed ones",
            )),
        }
    }

    pub(super) fn atomic_width(&self, memory: &Memory) -> Result<Width> {
        match memory.ty {
            MemoryType::Unsigned(Size::W) => Ok(Width::W32),
            MemoryType::Unsigned(Size::Dw) => Ok(Width::W64),
            _ => {
                Err(self.expected_at(memory.at, "a pointer to u32 or u64 for an atomic operation"))
            }
        }
    }

    pub(super) fn base(&self, memory: &Memory) -> Result<Reg> {
        Reg::new(memory.base).ok_or_else(|| self.stack_argument(memory, "of type u64, not atomic"))
    }

    /// A pointer from r11 that is no stack argument.
    pub(super) fn stack_argument(&self, memory: &Memory, expected: &str) -> AssembleError {
        self.expected_at(memory.at, &format!("a stack argument, {expected}"))
    }

    /// `pc+3`, `+3` or a label.
    pub(super) fn target(&mut self) -> Result<Target<'a>> {
        let at = self.at();
        let signed = |token: Option<&Token<'_>>| token.is_some_and(|t| matches!(t.text, "+" | "-"));
        if signed(self.tokens.get(1)) {
            let _ = self.is_word("pc");
        }
        if signed(self.tokens.first()) {
            let offset = self.expect_number("a number of instructions")?;
            let label = None;
            return Ok(Target { offset, label });
        }
        let name = self
            .word()
            .ok_or_else(|| self.expected("a label, or `pc` and an offset"))?;
        let (value, hex) = (0, false);
        Ok(Target {
            offset: Number { value, hex, at },
            label: Some(LabelUse { name, at }),
        })
    }

    pub(super) fn long_offset(&self, target: &Target<'_>) -> Result<i32> {
        self.in_range(target.offset, "a 32-bit offset", I32)
    }

    pub(super) fn expected(&self, what: &str) -> AssembleError {
        self.expected_at(self.at(), what)
    }

    pub(super) fn expected_at(&self, at: usize, what: &str) -> AssembleError {
        let found = self.all.iter().find(|token| token.at == at);
        let found = match found {
            Some(token) => format!("`{}`", token.text),
            None => "the end of the line".to_owned(),
        };
        let expected = what.to_owned();
        self.line
            .error(at, AssembleErrorKind::Expected { expected, found })
    }
}

fn register_of(width: Width) -> &'static str {
    match width {
        Width::W32 => "a 32-bit register",
        Width::W64 => "a 64-bit register",
    }
}

/// `r0` to `r11` or `w0` to `w11`.
pub(super) fn parse_register(text: &str) -> Option<(Width, u8)> {
    let (width, digits) = match (text.strip_prefix('r'), text.strip_prefix('w')) {
        (Some(digits), _) => (Width::W64, digits),
        (_, Some(digits)) => (Width::W32, digits),
        _ => return None,
    };
    let number = (0..=11).find(|number| digits.parse() == Ok(*number))?;
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    is_plain.then_some((width, number))
}

/// `be16`, `bswap64` and the like.
pub(super) fn parse_byte_swap(word: &str) -> Option<(ByteOrder, SwapWidth)> {
    ByteOrder::ALL.into_iter().find_map(|order| {
        let bits = word.strip_prefix(order.symbol())?;
        Some((order, SwapWidth::new(bits.parse().ok()?)?))
    })
}

/// The operation of `atomic64_fetch_add`, or of LLVM's `xchg_64`, and its width if the word says
/// it. (`atomic_` stands for 32 bits in the kernel's text, and for both in LLVM's.)
pub(super) fn parse_atomic(word: &str) -> Option<(AtomicOp, Option<Width>)> {
    let exchange = match word {
        "xchg_64" => Some((AtomicOp::Xchg, Some(Width::W64))),
        "xchg32_32" => Some((AtomicOp::Xchg, Some(Width::W32))),
        "cmpxchg_64" => Some((AtomicOp::CmpXchg, Some(Width::W64))),
        "cmpxchg32_32" => Some((AtomicOp::CmpXchg, Some(Width::W32))),
        _ => None,
    };
    let (name, width) = match word.strip_prefix("atomic64_") {
        Some(name) => (name, Some(Width::W64)),
        None => (word.strip_prefix("atomic_").unwrap_or_default(), None),
    };
    let mut fetching = AtomicOp::ALL.into_iter().filter(|op| op.fetches());
    exchange.or_else(|| Some((fetching.find(|op| op.symbol() == name)?, width)))
}
