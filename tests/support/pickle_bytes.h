// Pickles of protocol 2, put together operation by operation (Python's pickletools describes them).
#pragma once

#include <cstdint>
#include <string>

namespace sq::test::pickle {

inline std::string Little(uint64_t value, int bytes) {
  std::string text;
  for (; bytes > 0; --bytes, value >>= 8) text += static_cast<char>(value);
  return text;
}
inline std::string Text(const std::string& text) { return "X" + Little(text.size(), 4) + text; }
inline std::string Int(int64_t value) {
  return "\x8a\x08" + Little(static_cast<uint64_t>(value), 8);
}
inline std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string Tuple(const std::string& items) { return "(" + items + "t"; }
inline std::string Dict(const std::string& items) { return "}(" + items + "u"; }
inline std::string Pickle(const std::string& value) { return "\x80\x02" + value + "."; }

inline std::string Storage(const std::string& type, const std::string& key, int64_t elements) {
  return Tuple(Text("storage") + Global("torch", type) + Text(key) + Text("cpu") + Int(elements)) +
         "Q";
}
// Sizes and strides are what goes into their tuples.
inline std::string Tensor(const std::string& storage, int64_t first, const std::string& sizes,
                          const std::string& strides) {
  return Global("torch._utils", "_rebuild_tensor_v2") +
         Tuple(storage + Int(first) + Tuple(sizes) + Tuple(strides) + "\x89" +
               Global("collections", "OrderedDict") + ")R") +
         "R";
}

}  // namespace sq::test::pickle
