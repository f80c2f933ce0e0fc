// The zoo as JSON: what ROOT read, number by number.
#pragma once
#include "classes.h"

#include <iomanip>
#include <limits>
#include <ostream>
#include <type_traits>

namespace json {
  template <typename T>
  void write(std::ostream& out, T const& value);

  inline void write(std::ostream& out, zoo::Animal const& a);

  inline void write(std::ostream& out, std::string const& text) { out << '"' << text << '"'; }

  inline void write(std::ostream& out, zoo::Plain const& p) {
    out << std::setprecision(17) << "{\"i\":" << p.i << ",\"d\":" << p.d << '}';
  }

  inline void write(std::ostream& out, TString const& text) { out << '"' << text << '"'; }

  inline void write(std::ostream& out, zoo::Base const& b) {
    out << "{\"level\":" << b.level << ",\"name\":";
    write(out, b.name);
    out << '}';
  }

  template <typename A, typename B, typename C>
  void write(std::ostream& out, std::tuple<A, B, C> const& t) {
    out << "{\"_0\":";
    write(out, std::get<0>(t));
    out << ",\"_1\":";
    write(out, std::get<1>(t));
    out << ",\"_2\":";
    write(out, std::get<2>(t));
    out << '}';
  }

  template <typename A, typename B>
  void write(std::ostream& out, std::pair<A, B> const& p) {
    out << "{\"first\":";
    write(out, p.first);
    out << ",\"second\":";
    write(out, p.second);
    out << '}';
  }

  template <typename T>
  void write(std::ostream& out, T const& value) {
    if constexpr (std::is_same_v<T, bool>)
      out << (value ? "true" : "false");
    else if constexpr (std::is_floating_point_v<T>)
      out << std::setprecision(std::numeric_limits<T>::max_digits10) << value;
    else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>)
      out << +static_cast<std::conditional_t<std::is_enum_v<T>, int, T>>(value);
    else {
      out << '[';
      bool first = true;
      for (auto const& one : value) {
        if (!first) out << ',';
        first = false;
        if constexpr (std::is_same_v<T, std::vector<bool>>)
          write(out, static_cast<bool>(one));
        else
          write(out, one);
      }
      out << ']';
    }
  }

  inline void write(std::ostream& out, zoo::Animal const& a) {
    out << "{\"level\":" << a.level;
#define LARMLRECO_MEMBER(m) out << ",\"" #m "\":", write(out, a.m)
    LARMLRECO_MEMBER(name);
    LARMLRECO_MEMBER(byte);
    LARMLRECO_MEMBER(shorts);
    LARMLRECO_MEMBER(flag);
    LARMLRECO_MEMBER(letter);
    LARMLRECO_MEMBER(big);
    LARMLRECO_MEMBER(bigger);
    LARMLRECO_MEMBER(colour);
    LARMLRECO_MEMBER(row);
    LARMLRECO_MEMBER(matrix);
    LARMLRECO_MEMBER(fixed);
    LARMLRECO_MEMBER(plain32);
    LARMLRECO_MEMBER(ranged32);
    LARMLRECO_MEMBER(mantissa32);
    LARMLRECO_MEMBER(half);
    LARMLRECO_MEMBER(plain16);
    LARMLRECO_MEMBER(angle16);
    LARMLRECO_MEMBER(spread32);
    LARMLRECO_MEMBER(plain);
    LARMLRECO_MEMBER(plains);
    LARMLRECO_MEMBER(herd);
    LARMLRECO_MEMBER(nested);
    LARMLRECO_MEMBER(herds);
    LARMLRECO_MEMBER(words);
    LARMLRECO_MEMBER(colours);
    LARMLRECO_MEMBER(bits);
    LARMLRECO_MEMBER(corners);
    LARMLRECO_MEMBER(many32);
    LARMLRECO_MEMBER(doubles);
    LARMLRECO_MEMBER(deque);
    LARMLRECO_MEMBER(longs);
    LARMLRECO_MEMBER(texts);
    LARMLRECO_MEMBER(lists);
    LARMLRECO_MEMBER(plain_by_number);
    LARMLRECO_MEMBER(two);
    LARMLRECO_MEMBER(named);
    LARMLRECO_MEMBER(tracks);
    LARMLRECO_MEMBER(size);
    LARMLRECO_MEMBER(label);
    LARMLRECO_MEMBER(text);
    LARMLRECO_MEMBER(three);
    LARMLRECO_MEMBER(unordered);
    LARMLRECO_MEMBER(maps);
    LARMLRECO_MEMBER(herd_by_number);
    LARMLRECO_MEMBER(bases);
#undef LARMLRECO_MEMBER
    out << '}';
  }
}
