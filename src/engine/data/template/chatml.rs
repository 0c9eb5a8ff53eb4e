//! The template for models that bring none.

/// ChatML, with the end of a turn that this model can learn to emit: `<|im_end|>` where that is one token of its
/// vocabulary, its end-of-sequence token otherwise.
pub fn chatml(has_im_end: bool, eos_token: Option<&str>, adds_bos: bool) -> String {
    let bos = if adds_bos { "{{ bos_token }}" } else { "" };
    let end = if has_im_end || eos_token.is_none() { "'<|im_end|>'" } else { "eos_token" };
    format!(
        "{bos}{{% for message in messages %}}\
         {{{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + {end} + '\\n' }}}}\
         {{% endfor %}}\
         {{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\\n' }}}}{{% endif %}}"
    )
}
