import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What the operating system says of a store's file, asked before SQLite is, whose answers are vaguer.
enum SQLiteFile {
    /// Checks that there is a file that can be read.
    static func check(_ path: String) throws(StoreError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            switch errno {
            case ENOENT, ENOTDIR: throw StoreError(.notFound, "there is no store at \(path)")
            case EACCES: throw StoreError(.permission, "\(path) cannot be reached: permission denied")
            default: throw StoreError(.unavailable, "\(path): \(String(cString: strerror(errno)))")
            }
        }
        if status.st_mode & S_IFMT == S_IFDIR { throw StoreError(.isDirectory, "\(path) is a folder") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw StoreError(.notAStore, "\(path) is no regular file") }
        // Not opened here: closing it would give up every lock that this process holds on it. SQLite says what is no
        // database.
        if access(path, R_OK) != 0 {
            if errno == EACCES { throw StoreError(.permission, "\(path) cannot be read: permission denied") }
            throw StoreError(.unavailable, "\(path): \(String(cString: strerror(errno)))")
        }
    }

    /// Checks that a file can be made in its folder.
    static func checkFolder(of path: String) throws(StoreError) {
        let folder = folder(of: path)
        var status = stat()
        guard stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw StoreError(.notFound, "there is no folder \(folder)")
        }
        if access(folder, W_OK) != 0 {
            throw StoreError(.permission, "no file can be made in \(folder): \(String(cString: strerror(errno)))")
        }
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Checks that the file can be written.
    static func checkWritable(_ path: String) throws(StoreError) {
        if access(path, W_OK) == 0 { return }
        throw StoreError(.readOnly, "\(path) cannot be written: \(String(cString: strerror(errno)))")
    }

    /// How to open the file for reading: as usual, or as immutable where its folder cannot hold the files that WAL
    /// mode needs and no log is left to read.
    static func readMode(_ path: String) throws(StoreError) -> SQLiteConnection.Mode {
        if access("\(path)-shm", R_OK | W_OK) == 0 { return .readOnly }
        let folder = folder(of: path)
        if access(folder, W_OK) == 0 { return .readOnly }
        var status = stat()
        if stat("\(path)-wal", &status) == 0, status.st_size > 0 {
            throw StoreError(
                .permission, "\(path) has a write-ahead log that cannot be read without writing in \(folder)")
        }
        return .immutable
    }
}
