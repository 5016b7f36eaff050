import CommandLineKit
import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A file of encryption keys, as `--keys file:PATH` names it: JSON, an object of hexadecimal keys by their IDs; or, as
/// eGo for Go's tools write it, an object whose `keys` is a list of `key_id` and `key_hex`.
struct KeyFile {
    private struct List: Decodable {
        struct Key: Decodable {
            var keyID: String
            var keyHex: String

            enum CodingKeys: String, CodingKey {
                case keyID = "key_id"
                case keyHex = "key_hex"
            }
        }

        var keys: [Key]
    }

    let decryptor: EgoGoDecryptor

    /// Reads a file of keys.
    init(path: String) throws {
        let data: Data
        do { data = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            throw CommandFailure(.noInput, Escape.shown(path), "there is no such file, or it cannot be read")
        }
        // What is wrong is not shown: it could be a key.
        let decoder = JSONDecoder()
        var texts: [String: String]
        if let list = try? decoder.decode(List.self, from: data) {
            texts = Dictionary(list.keys.map { ($0.keyID, $0.keyHex) }) { first, _ in first }
        } else if let flat = try? decoder.decode([String: String].self, from: data) {
            texts = flat
        } else {
            throw CommandFailure(
                .data, Escape.shown(path), "it is no file of keys",
                hint: "JSON is wanted, as {\"KEY ID\": \"HEXADECIMAL\"}")
        }
        var keys: [String: [UInt8]] = [:]
        for (id, text) in texts {
            guard let bytes = Hexadecimal.bytes(text) else {
                throw CommandFailure(.data, Escape.shown(path), "key \(Escape.shown(id)) is not hexadecimal")
            }
            keys[id] = bytes
        }
        do { decryptor = try EgoGoDecryptor(keys: keys) } catch {
            throw CommandFailure(.data, Escape.shown(path), Escape.shown(error.description))
        }
    }
}
