//! Which file systems tell of changes.
//!
//! inotify sees what passes through this kernel. Where other machines, or a program behind the file system, change files,
//! a watch is granted and stays silent, so asking for one proves nothing: the kind of the file system decides.

use std::{io, path::Path};

/// File systems whose files change without this kernel's doing, by the numbers that `statfs` gives.
const SILENT: [(u64, &str); 21] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    // Also virtiofs, sshfs, s3fs and whatever else a program serves.
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x564c, "ncp"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x7461_636f, "ocfs2"),
    (0x0116_1970, "gfs2"),
    (0x2003_0528, "orangefs"),
    (0x1983_0326, "beegfs"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
];

/// The kind of the file system that a directory is on, if it does not tell of changes.
///
/// # Errors
/// When the directory cannot be asked about.
pub(super) fn silent_kind(directory: &Path) -> io::Result<Option<&'static str>> {
    let kind = rustix::fs::statfs(directory)?.f_type;
    // The numbers have 32 bits; the field's width and sign depend on the architecture.
    Ok(kind_of(kind as u64 & 0xffff_ffff))
}

fn kind_of(number: u64) -> Option<&'static str> {
    SILENT.iter().find(|(silent, _)| *silent == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn file_systems_of_other_machines_and_of_programs_are_silent() {
        let libc_knows = [
            (libc::NFS_SUPER_MAGIC, "nfs"),
            (libc::SMB_SUPER_MAGIC, "smb"),
            (libc::FUSE_SUPER_MAGIC, "fuse"),
            (libc::AFS_SUPER_MAGIC, "afs"),
            (libc::CODA_SUPER_MAGIC, "coda"),
            (libc::NCP_SUPER_MAGIC, "ncp"),
            (libc::OCFS2_SUPER_MAGIC, "ocfs2"),
            (libc::PROC_SUPER_MAGIC, "proc"),
            (libc::SYSFS_MAGIC, "sysfs"),
        ];
        for (number, name) in libc_knows {
            assert_eq!(kind_of(number as u64 & 0xffff_ffff), Some(name));
        }
    }

    #[test]
    fn local_file_systems_tell() {
        for number in [libc::EXT4_SUPER_MAGIC, libc::XFS_SUPER_MAGIC, libc::BTRFS_SUPER_MAGIC, libc::TMPFS_MAGIC] {
            assert_eq!(kind_of(number as u64 & 0xffff_ffff), None);
        }
        assert_eq!(kind_of(libc::OVERLAYFS_SUPER_MAGIC as u64 & 0xffff_ffff), None);
    }

    #[test]
    fn the_kernel_is_asked() {
        assert_eq!(silent_kind(Path::new("/proc/self")).unwrap(), Some("proc"));
        assert!(silent_kind(Path::new("/nothing/here")).is_err());
    }
}
