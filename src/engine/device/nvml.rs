//! NVIDIA cards through NVML, the library that comes with their driver, loaded when the program runs: without it there are
//! simply no such cards. Names and layouts are those of nvml.h (NVML API Reference, "Device Queries").

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::Path;

use libloading::{Library, Symbol};

use super::Device;

/// `NVML_DEVICE_NAME_V2_BUFFER_SIZE`; the driver's version takes 80.
const TEXT: usize = 96;
const SUCCESS: c_int = 0;

/// `nvmlMemory_t`, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

/// `nvmlMemory_v2_t`, in bytes: what the driver keeps for itself (half a gigabyte of an H100) is none of `used`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct MemoryV2 {
    version: c_uint,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

/// `nvmlMemory_v2`: the size of the struct, and the version in the highest byte.
const MEMORY_V2: c_uint = size_of::<MemoryV2>() as c_uint | 2 << 24;

type Handle = *mut c_void;

/// The loaded library.
pub(super) struct Nvml(Library);

impl Nvml {
    /// The driver's own library, if there is one.
    pub fn of_system() -> Option<Nvml> {
        let names: &[&str] = match cfg!(windows) {
            true => &["nvml.dll", "C:\\Program Files\\NVIDIA Corporation\\NVSMI\\nvml.dll"],
            false => &["libnvidia-ml.so.1", "libnvidia-ml.so"],
        };
        names.iter().find_map(|name| Nvml::open(Path::new(name)))
    }

    /// The library of this name or path.
    pub fn open(name: &Path) -> Option<Nvml> {
        // SAFETY: the driver's library has no initialisers that do anything else than set itself up.
        let library = unsafe { Library::new(name) }.ok()?;
        let nvml = Nvml(library);
        // SAFETY: `nvmlReturn_t nvmlInit_v2(void)`.
        let result = unsafe { nvml.symbol::<unsafe extern "C" fn() -> c_int>(b"nvmlInit_v2\0")?() };
        (result == SUCCESS).then_some(nvml)
    }

    /// # Safety
    /// `T` must be the type that nvml.h gives the function.
    unsafe fn symbol<T>(&self, name: &[u8]) -> Option<Symbol<'_, T>> {
        // SAFETY: the caller's promise.
        unsafe { self.0.get(name) }.ok()
    }

    /// The cards, in the driver's order.
    pub fn devices(&self) -> Vec<Device> {
        let driver = self.driver();
        let mut count: c_uint = 0;
        // SAFETY: `nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount)`.
        let counted = unsafe {
            match self.symbol::<unsafe extern "C" fn(*mut c_uint) -> c_int>(b"nvmlDeviceGetCount_v2\0") {
                Some(get) => get(&mut count),
                None => return Vec::new(),
            }
        };
        if counted != SUCCESS {
            return Vec::new();
        }
        (0..count).filter_map(|index| self.device(index, driver.clone())).collect()
    }

    fn device(&self, index: c_uint, driver: Option<String>) -> Option<Device> {
        let mut handle: Handle = std::ptr::null_mut();
        let mut name = [0 as c_char; TEXT];
        // SAFETY: the types are those of nvml.h; every pointer is to a place of the size that is given or fixed there.
        unsafe {
            let find: Symbol<unsafe extern "C" fn(c_uint, *mut Handle) -> c_int> =
                self.symbol(b"nvmlDeviceGetHandleByIndex_v2\0")?;
            let call: Symbol<unsafe extern "C" fn(Handle, *mut c_char, c_uint) -> c_int> =
                self.symbol(b"nvmlDeviceGetName\0")?;
            if find(index, &mut handle) != SUCCESS {
                return None;
            }
            if call(handle, name.as_mut_ptr(), TEXT as c_uint) != SUCCESS {
                name[0] = 0;
            }
        }
        let memory = self.memory(handle)?;
        Some(Device {
            kind: "nvidia",
            name: text(&name).unwrap_or_else(|| "NVIDIA card".into()),
            cores: 0,
            threads: 0,
            memory_bytes: memory.total,
            available_bytes: memory.free,
            // The run itself takes nothing of a card.
            others_bytes: memory.used,
            driver,
            features: Vec::new(),
        })
    }

    /// The memory of a card; drivers before 510 know only the first form, in which `used` has their own part in it.
    fn memory(&self, card: Handle) -> Option<Memory> {
        let mut second = MemoryV2 { version: MEMORY_V2, ..MemoryV2::default() };
        // SAFETY: `nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)`.
        let answered = unsafe {
            self.symbol::<unsafe extern "C" fn(Handle, *mut MemoryV2) -> c_int>(b"nvmlDeviceGetMemoryInfo_v2\0")
                .is_some_and(|ask| ask(card, &mut second) == SUCCESS)
        };
        if answered {
            return Some(Memory { total: second.total, free: second.free, used: second.used });
        }
        let mut first = Memory::default();
        // SAFETY: `nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)`.
        let answered = unsafe {
            self.symbol::<unsafe extern "C" fn(Handle, *mut Memory) -> c_int>(b"nvmlDeviceGetMemoryInfo\0")
                .is_some_and(|ask| ask(card, &mut first) == SUCCESS)
        };
        answered.then_some(first)
    }

    fn driver(&self) -> Option<String> {
        let mut version = [0 as c_char; TEXT];
        // SAFETY: `nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)`.
        let result = unsafe {
            let get: Symbol<unsafe extern "C" fn(*mut c_char, c_uint) -> c_int> =
                self.symbol(b"nvmlSystemGetDriverVersion\0")?;
            get(version.as_mut_ptr(), TEXT as c_uint)
        };
        if result == SUCCESS { text(&version) } else { None }
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // SAFETY: `nvmlReturn_t nvmlShutdown(void)`.
        unsafe {
            if let Some(end) = self.symbol::<unsafe extern "C" fn() -> c_int>(b"nvmlShutdown\0") {
                end();
            }
        }
    }
}

/// What a buffer holds before its zero.
fn text(buffer: &[c_char; TEXT]) -> Option<String> {
    let bytes: &[u8; TEXT] = bytemuck::cast_ref(buffer);
    let text = CStr::from_bytes_until_nul(bytes).ok()?.to_string_lossy().trim().to_string();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with NVML's functions and three cards: one that knows the first form only, one that does not answer, and one
    /// whose driver keeps some memory for itself.
    const FAKE: &str = r#"
        use std::ffi::{c_char, c_int, c_uint};
        #[repr(C)] pub struct Memory { total: u64, free: u64, used: u64 }
        #[repr(C)] pub struct MemoryV2 { version: c_uint, total: u64, reserved: u64, free: u64, used: u64 }
        #[unsafe(no_mangle)] pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(h: usize, m: *mut MemoryV2) -> c_int {
            let version = unsafe { (*m).version };
            if h != 9 || version != 0x0200_0028 { return 3 }
            unsafe { *m = MemoryV2 { version, total: 16 << 30, reserved: 1 << 30, free: 12 << 30, used: 3 << 30 } }; 0
        }
        #[unsafe(no_mangle)] pub extern "C" fn nvmlInit_v2() -> c_int { 0 }
        #[unsafe(no_mangle)] pub extern "C" fn nvmlShutdown() -> c_int { 0 }
        #[unsafe(no_mangle)] pub unsafe extern "C" fn nvmlDeviceGetCount_v2(n: *mut c_uint) -> c_int { unsafe { *n = 3 }; 0 }
        #[unsafe(no_mangle)] pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(i: c_uint, h: *mut usize) -> c_int {
            unsafe { *h = i as usize + 7 }; 0
        }
        #[unsafe(no_mangle)] pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo(h: usize, m: *mut Memory) -> c_int {
            if h != 7 { return 15 }
            unsafe { *m = Memory { total: 8 << 30, free: 6 << 30, used: 2 << 30 } }; 0
        }
        unsafe fn put(text: &[u8], out: *mut c_char, len: c_uint) -> c_int {
            if text.len() > len as usize { return 7 }
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), out, text.len()) }; 0
        }
        #[unsafe(no_mangle)] pub unsafe extern "C" fn nvmlDeviceGetName(_: usize, out: *mut c_char, len: c_uint) -> c_int {
            unsafe { put(b"NVIDIA GeForce RTX 4060\0", out, len) }
        }
        #[unsafe(no_mangle)] pub unsafe extern "C" fn nvmlSystemGetDriverVersion(out: *mut c_char, len: c_uint) -> c_int {
            unsafe { put(b"560.35.03\0", out, len) }
        }
    "#;

    #[test]
    fn a_card_is_described_and_one_that_does_not_answer_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("fake.rs"), dir.path().join("fake_nvml.lib"));
        std::fs::write(&source, FAKE).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut build = std::process::Command::new(rustc);
        build.args(["--edition=2024", "--crate-type=cdylib", "-o"]).arg(&library).arg(&source);
        assert!(build.status().unwrap().success());
        let devices = Nvml::open(&library).unwrap().devices();
        let [card, reserving] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!((card.kind, &*card.name), ("nvidia", "NVIDIA GeForce RTX 4060"));
        assert_eq!((card.memory_bytes, card.available_bytes, card.others_bytes), (8 << 30, 6 << 30, 2 << 30));
        let memory = (reserving.memory_bytes, reserving.available_bytes, reserving.others_bytes);
        assert_eq!(memory, (16 << 30, 12 << 30, 3 << 30));
        assert_eq!(card.driver.as_deref(), Some("560.35.03"));
    }

    #[test]
    fn a_machine_without_the_driver_has_no_cards() {
        assert!(Nvml::open(Path::new("/there/is/no/such/library.so")).is_none());
    }
}
