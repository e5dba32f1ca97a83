//! Archives, made byte by byte: what packs them must not depend on the machine.
use flate2::{
    Compression, Crc,
    write::{DeflateEncoder, GzEncoder},
};
use std::io::Write as _;

/// The bit of a member that is encrypted.
const ENCRYPTED: u16 = 1;

/// A content in archives of each kind, by name of the archive.
pub(super) fn kinds(content: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let inner = zip("inner.txt", content, true);
    vec![
        ("plain", content.to_vec()),
        ("gzip.gz", gzip(content)),
        ("stored.zip", zip("inner.txt", content, false)),
        ("deflated.zip", inner.clone()),
        ("tar.tar", tar("inner.txt", content)),
        ("tar.tar.gz", gzip(&tar("inner.txt", content))),
        ("nested.zip", zip("a.tar.gz", &gzip(&tar("b.zip", &inner)), true)),
        ("no name's ending", gzip(&tar("c", &zip("d", &inner, false)))),
    ]
}

/// A zip archive of one member that is encrypted by a password which nobody is told.
pub(super) fn encrypted_zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut keys = Keys::new(b"a password");
    let check = (crc(content) >> 24) as u8;
    // Eleven bytes that are random in earnest, and one by which a password is checked.
    let plain = [&[7; 11][..], &[check], content].concat();
    let data: Vec<u8> = plain.iter().map(|byte| keys.encrypt(*byte)).collect();
    member(name, content, &data, 0, ENCRYPTED)
}

fn zip(name: &str, content: &[u8], is_deflated: bool) -> Vec<u8> {
    if !is_deflated {
        return member(name, content, content, 0, 0);
    }
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(content).unwrap();
    member(name, content, &packed.finish().unwrap(), 8, 0)
}

/// A whole archive with one member, whose data is packed by `method` already.
fn member(name: &str, content: &[u8], data: &[u8], method: u16, flags: u16) -> Vec<u8> {
    let facts = |version: &[u16]| {
        let mut facts = Vec::new();
        for word in version.iter().chain(&[flags, method, 0, 0x21]) {
            facts.extend(word.to_le_bytes());
        }
        for long in [crc(content), data.len() as u32, content.len() as u32] {
            facts.extend(long.to_le_bytes());
        }
        facts.extend((name.len() as u16).to_le_bytes());
        facts
    };
    let mut archive = [b"PK\x03\x04", &*facts(&[20]), &[0; 2], name.as_bytes(), data].concat();
    let directory = [b"PK\x01\x02", &*facts(&[20, 20]), &[0; 16], name.as_bytes()].concat();
    let (at, length) = (archive.len() as u32, directory.len() as u32);
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    archive.extend(length.to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, content).unwrap();
    archive.into_inner().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The cipher of old zip archives.
struct Keys([u32; 3]);

impl Keys {
    fn new(password: &[u8]) -> Self {
        let mut keys = Self([0x1234_5678, 0x2345_6789, 0x3456_7890]);
        password.iter().for_each(|byte| keys.update(*byte));
        keys
    }

    fn update(&mut self, byte: u8) {
        let [one, two, three] = &mut self.0;
        *one = step(*one, byte);
        *two = two.wrapping_add(*one & 0xff).wrapping_mul(134_775_813).wrapping_add(1);
        *three = step(*three, (*two >> 24) as u8);
    }

    fn encrypt(&mut self, byte: u8) -> u8 {
        let word = (self.0[2] | 2) & 0xffff;
        let mask = (word.wrapping_mul(word ^ 1) >> 8) as u8;
        self.update(byte);
        byte ^ mask
    }
}

/// CRC-32 of one byte more, without the inversions.
fn step(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| {
        if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
    })
}

#[test]
fn other_programs_unpack_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, packed, args) in [
        ("nested.zip", zip("inner.txt", b"content", true), &["-p"][..]),
        (
            "secret.zip",
            encrypted_zip("inner.txt", b"content"),
            &["-p", "-P", "a password"],
        ),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, packed).unwrap();
        let Ok(unpacked) = testkit::Program::at("unzip").args(args).arg(file).run() else {
            eprintln!("skipped: unzip is not there");
            return;
        };
        assert_eq!(unpacked.success().unwrap().stdout(), "content");
    }
}
