import EgoCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Descriptors for reading the files of databases as bytes, kept open until the process ends: closing one would give up
/// every lock that SQLite holds on the same file in this process. One for each file, told by device and inode.
enum RawFiles {
    private struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    private static let open = Mutex<[Identity: Int32]>([:])

    /// A descriptor of the file.
    static func descriptor(of path: String) throws(StoreError) -> Int32 {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw StoreError(.notFound, "\(path): \(String(cString: strerror(errno)))")
        }
        let identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        let result = open.withLock { open -> Result<Int32, StoreError> in
            if let known = open[identity] { return .success(known) }
            let descriptor = openFile(path, O_RDONLY | O_CLOEXEC)
            if descriptor < 0 {
                return .failure(StoreError(.permission, "\(path): \(String(cString: strerror(errno)))"))
            }
            open[identity] = descriptor
            return .success(descriptor)
        }
        return try result.get()
    }
}

extension RawFiles {
    /// A descriptor that is the caller's to close.
    static func newDescriptor(of path: String) throws(StoreError) -> Int32 {
        let descriptor = openFile(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { throw StoreError(.permission, "\(path): \(String(cString: strerror(errno)))") }
        return descriptor
    }
}

private func openFile(_ path: String, _ flags: Int32) -> Int32 { open(path, flags) }
