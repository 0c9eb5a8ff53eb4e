//! Tokens to text while they come.

use crate::engine::Result;
use crate::engine::formats::TextTokenizer;

/// Turns tokens into text piece by piece. A piece is given out when later tokens can no longer change it: bytes of a
/// character that is not complete yet wait, so that the pieces joined are the text of all tokens at once.
#[derive(Clone, Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a TextTokenizer,
    tokens: Vec<u32>,
    /// Tokens before this were given out, and are not looked at again.
    context: usize,
    /// Tokens before this were given out.
    given: usize,
}

impl<'a> TextStream<'a> {
    /// A stream at the beginning of a text. Special tokens give no text.
    pub fn new(tokenizer: &'a TextTokenizer) -> TextStream<'a> {
        TextStream { tokenizer, tokens: Vec::new(), context: 0, given: 0 }
    }

    /// Takes a token, and gives the text that is now complete (possibly empty).
    pub fn push(&mut self, token: u32) -> Result<String> {
        self.tokens.push(token);
        let text = self.pending()?;
        if text.is_empty() || text.ends_with('\u{FFFD}') {
            return Ok(String::new());
        }
        // The last piece stays as context: how a token is spelled can depend on the one before it.
        self.context = self.given;
        self.given = self.tokens.len();
        Ok(text)
    }

    /// The rest at the end of the text: an incomplete character, as U+FFFD.
    pub fn finish(&mut self) -> Result<String> {
        let text = self.pending()?;
        self.given = self.tokens.len();
        self.context = self.given;
        Ok(text)
    }

    /// The text of the tokens not given out yet, in the context of those before.
    fn pending(&self) -> Result<String> {
        let before = self.tokenizer.decode(&self.tokens[self.context..self.given], true)?;
        let mut all = self.tokenizer.decode(&self.tokens[self.context..], true)?;
        // A decoder that rewrites what came before could break off inside a character: then wait.
        if all.len() < before.len() || !all.is_char_boundary(before.len()) {
            return Ok(String::new());
        }
        Ok(all.split_off(before.len()))
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::decoders::byte_fallback::ByteFallback;
    use tokenizers::decoders::byte_level::ByteLevel;
    use tokenizers::decoders::fuse::Fuse;
    use tokenizers::decoders::sequence::Sequence;
    use tokenizers::decoders::strip::Strip;
    use tokenizers::models::bpe::{BPE, Vocab};
    use tokenizers::normalizers::Replace;
    use tokenizers::{AddedToken, DecoderWrapper, Tokenizer};

    use super::*;

    fn tokenizer(words: Vec<String>, decoder: DecoderWrapper) -> TextTokenizer {
        let vocab: Vocab = words.into_iter().enumerate().map(|(i, w)| (w, i as u32)).collect();
        let vocab_size = vocab.len() + 1;
        let mut tokenizer = Tokenizer::new(BPE::builder().vocab_and_merges(vocab, vec![]).build().unwrap());
        tokenizer.with_decoder(Some(decoder));
        tokenizer.add_special_tokens([AddedToken::from("<end>", true)]).unwrap();
        TextTokenizer {
            tokenizer,
            chat_template: None,
            named_templates: vec![],
            bos_token: None,
            eos_token: None,
            pad_token: None,
            unk_token: None,
            bos_id: None,
            eos_id: None,
            pad_id: None,
            adds_bos: false,
            adds_eos: false,
            vocab_size,
            path: "test".into(),
        }
    }

    /// One token a byte, as byte-level BPE spells them.
    fn byte_level() -> (TextTokenizer, impl Fn(&str) -> Vec<u32>) {
        // Printable bytes stand for themselves, the others for characters from U+0100 on (OpenAI's bytes_to_unicode).
        let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let mut others = 0x100u32..;
        let words = (0..=255u8).map(|b| match printable(b) {
            true => char::from(b).to_string(),
            false => others.next().and_then(char::from_u32).unwrap().to_string(),
        });
        let tokenizer = tokenizer(words.collect(), ByteLevel::default().into());
        (tokenizer, |text| text.bytes().map(u32::from).collect())
    }

    /// SentencePiece's way: ▁ for a space, whole characters where known, else bytes; the first space is dropped.
    fn byte_fallback() -> (TextTokenizer, impl Fn(&str) -> Vec<u32>) {
        let mut words: Vec<String> = (0..=255u8).map(|b| format!("<0x{b:02X}>")).collect();
        words.extend(('a'..='z').map(String::from));
        words.extend(('a'..='z').map(|c| format!("▁{c}")));
        let decoders: Vec<DecoderWrapper> = vec![
            Replace::new("▁", " ").unwrap().into(),
            ByteFallback::new().into(),
            Fuse::new().into(),
            Strip::new(' ', 1, 0).into(),
        ];
        let encode = |text: &str| {
            let mut tokens = Vec::new();
            let mut space = true;
            for c in text.chars() {
                match c {
                    ' ' => space = true,
                    'a'..='z' => {
                        tokens.push(256 + if space { 26 } else { 0 } + c as u32 - 'a' as u32);
                        space = false;
                    }
                    _ => tokens.extend(c.to_string().bytes().map(u32::from)),
                }
            }
            tokens
        };
        (tokenizer(words, Sequence::new(decoders).into()), encode)
    }

    fn pieces(tokenizer: &TextTokenizer, tokens: &[u32]) -> (Vec<String>, String) {
        let mut stream = TextStream::new(tokenizer);
        let pieces = tokens.iter().map(|t| stream.push(*t).unwrap()).collect();
        (pieces, stream.finish().unwrap())
    }

    #[test]
    fn pieces_joined_are_the_whole_text_and_no_character_is_torn() {
        let text = "hello wörld 🦜 é日本 end";
        let (level, level_encode) = byte_level();
        let (fallback, fallback_encode) = byte_fallback();
        for (tokenizer, tokens) in [(&level, level_encode(text)), (&fallback, fallback_encode(text))] {
            let (pieces, rest) = pieces(tokenizer, &tokens);
            assert_eq!(rest, "");
            assert_eq!(pieces.concat(), tokenizer.decode(&tokens, true).unwrap());
            assert!(pieces.iter().all(|p| !p.contains('\u{FFFD}')), "{pieces:?}");
        }
        let tokens = level_encode(text);
        assert_eq!(level.decode(&tokens, true).unwrap(), text);
        let (pieces, _) = pieces(&level, &tokens);
        // Each character comes with its last byte, at once.
        assert_eq!(&pieces[..7], ["h", "e", "l", "l", "o", " ", "w"]);
        assert_eq!(&pieces[7..9], ["", "ö"]);
        assert!(pieces.windows(4).any(|w| w == ["", "", "", "🦜"]));
    }

    #[test]
    fn spaces_of_sentencepiece_survive() {
        let (tokenizer, encode) = byte_fallback();
        let (pieces, _) = pieces(&tokenizer, &encode("a bc d"));
        assert_eq!(pieces, ["a", " b", "c", " d"]);
    }

    #[test]
    fn special_tokens_give_no_text_and_do_not_eat_a_space() {
        let (tokenizer, encode) = byte_fallback();
        let end = tokenizer.token_id("<end>").unwrap();
        let tokens = [encode("a"), vec![end, end], encode("b")].concat();
        assert_eq!(pieces(&tokenizer, &tokens).0, ["a", "", "", " b"]);
        assert_eq!(pieces(&tokenizer, &[end]), (vec![String::new()], String::new()));
    }

    #[test]
    fn what_never_becomes_a_character_comes_at_the_end() {
        let (tokenizer, encode) = byte_level();
        let tokens = [encode("x"), vec![0xF0, 0x9F]].concat();
        let (pieces, rest) = pieces(&tokenizer, &tokens);
        assert_eq!(pieces, ["x", "", ""]);
        assert_eq!(format!("x{rest}"), tokenizer.decode(&tokens, true).unwrap());
        // A broken character inside a text is given out with what follows it.
        let tokens = [vec![0xF0, 0x9F], encode("yz")].concat();
        let (pieces, rest) = super::tests::pieces(&tokenizer, &tokens);
        assert_eq!(pieces.concat() + &rest, tokenizer.decode(&tokens, true).unwrap());
    }
}
