import CommandLineKit

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// An application's own operator binary, which takes the place of this process.
struct OperatorBinary {
    let path: String

    /// Runs the binary with the same arguments, less `--domain`. Returns only by throwing.
    func replaceProcess(_ arguments: [String]) throws(CommandFailure) {
        // Empty: the binary does not hand over again, whatever its configuration says.
        setenv("EGO_DOMAIN", "", 1)
        var words = [path] + Self.withoutDomain(arguments)
        if !path.contains("/") { words[0] = "./\(path)" }
        var pointers = words.map { strdup($0) }
        pointers.append(nil)
        execv(words[0], pointers)
        let number = errno
        for pointer in pointers { free(pointer) }
        switch number {
        case ENOENT, ENOTDIR: throw CommandFailure(.noInput, path, "there is no such operator binary")
        default:
            throw CommandFailure(
                .config, path, "the operator binary cannot be run: \(String(cString: strerror(number)))")
        }
    }

    private static func withoutDomain(_ arguments: [String]) -> [String] {
        var kept: [String] = []
        var rest = arguments[...]
        while let word = rest.popFirst() {
            if word == "--" { return kept + [word] + rest }
            if word == "--domain" {
                rest = rest.dropFirst()
            } else if !word.hasPrefix("--domain=") {
                kept.append(word)
            }
        }
        return kept
    }
}
