// Classes of the names, members and versions that art and LArSoft write, and a zoo of other member types.
// Only what ROOT stores is here. Used by write.py to make art-like files with ROOT itself.
#pragma once
#include <Rtypes.h>
#include <TString.h>

#include <array>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace art {
  struct EDProduct {
    virtual ~EDProduct() = default;
    static short Class_Version() { return 10; }
  };
  template <typename T>
  struct Wrapper : EDProduct {
    bool present{true};
    unsigned int rangeSetID{0xFFFFFFFFu};
    T obj;
    static short Class_Version() { return 11; }
  };
  struct ProductID {
    unsigned int value_{0};
    static short Class_Version() { return 10; }
  };
  struct RefCore {
    ProductID id_;
    static short Class_Version() { return 10; }
  };
  namespace detail {
    struct AssnsBase {
      virtual ~AssnsBase() = default;
      static short Class_Version() { return 10; }
    };
  }
  template <typename L, typename R, typename D = void>
  struct Assns : detail::AssnsBase {
    std::vector<std::pair<RefCore, std::size_t>> ptr_data_1_;
    std::vector<std::pair<RefCore, std::size_t>> ptr_data_2_;
    static short Class_Version() { return 11; }
  };
  struct RunID {
    unsigned int run_{0};
    static short Class_Version() { return 10; }
  };
  struct SubRunID {
    RunID run_;
    unsigned int subRun_{0};
    static short Class_Version() { return 10; }
  };
  struct EventID {
    SubRunID subRun_;
    unsigned int event_{0};
    static short Class_Version() { return 12; }
  };
  struct Timestamp {
    unsigned int timeLow_{0};
    unsigned int timeHigh_{0};
    static short Class_Version() { return 10; }
  };
  struct EventAuxiliary {
    EventID id_;
    Timestamp time_;
    bool isRealData_{false};
    static short Class_Version() { return 12; }
  };
  struct SubRunAuxiliary {
    SubRunID id_;
    static short Class_Version() { return 11; }
  };
  struct RunAuxiliary {
    RunID id_;
    static short Class_Version() { return 12; }
  };
}

namespace geo {
  enum View { kU, kV, kZ };
  enum Signal { kInduction, kCollection };
  struct CryostatID {
    bool isValid{false};
    unsigned int Cryostat{0xFFFFFFFFu};
    static short Class_Version() { return 18; }
  };
  struct TPCID : CryostatID {
    unsigned int TPC{0xFFFFFFFFu};
    static short Class_Version() { return 18; }
  };
  struct PlaneID : TPCID {
    unsigned int Plane{0xFFFFFFFFu};
    static short Class_Version() { return 3; }
  };
  struct WireID : PlaneID {
    unsigned int Wire{0xFFFFFFFFu};
    static short Class_Version() { return 12; }
  };
}

namespace lar {
  template <typename T>
  struct range_t {
    T offset{0};
    T last{0};
  };
  template <typename T>
  struct sparse_vector {
    struct datarange_t : range_t<std::size_t> {
      std::vector<T> values;
    };
    std::size_t nominal_size{0};
    std::vector<datarange_t> ranges;
  };
}

namespace recob {
  struct Wire {
    unsigned int fChannel{0};
    geo::View fView{geo::kU};
    lar::sparse_vector<float> fSignalROI;
    static short Class_Version() { return 19; }
  };
  struct Hit {  // version 16: one sum of samples
    unsigned int fChannel{0};
    int fStartTick{0}, fEndTick{0};
    float fPeakTime{0}, fSigmaPeakTime{0}, fRMS{0}, fPeakAmplitude{0}, fSigmaPeakAmplitude{0}, fSummedADC{0};
    float fIntegral{0}, fSigmaIntegral{0};
    short fMultiplicity{1}, fLocalIndex{0};
    float fGoodnessOfFit{0};
    int fNDF{0};
    geo::View fView{geo::kU};
    geo::Signal fSignalType{geo::kInduction};
    geo::WireID fWireID;
    static short Class_Version() { return 16; }
  };
  struct SpacePoint {
    int fID{0};
    Double32_t fXYZ[3]{};
    Double32_t fErrXYZ[6]{};
    Double32_t fChisq{0};
    static short Class_Version() { return 13; }
  };
  struct Cluster {
    unsigned int fNHits{0};
    float fEndWires[2]{}, fSigmaEndWires[2]{}, fEndTicks[2]{}, fSigmaEndTicks[2]{}, fEndCharges[2]{}, fAngles[2]{};
    float fOpeningAngles[2]{}, fChargeSum[2]{}, fChargeStdDev[2]{}, fChargeAverage[2]{};
    float fMultipleHitDensity{0}, fWidth{0};
    int fID{0};
    geo::View fView{geo::kU};
    geo::PlaneID fPlaneID;
    static short Class_Version() { return 16; }
  };
}

namespace anab {
  template <std::size_t N>
  struct FeatureVector {
    float fData[N];
    static short Class_Version() { return 10; }
  };
}

namespace sumdata {
  struct POTSummary {
    double totpot{0}, totgoodpot{0};
    int totspills{0}, goodspills{0};
    static short Class_Version() { return 10; }
  };
}

namespace zoo {
  enum Colour { red, green = 7, blue = -3 };
  enum class Size : unsigned char { small = 1, large = 250 };
  struct Plain {  // no Class_Version: its headers carry a checksum
    int i{0};
    double d{0};
  };
  struct Base {
    short level{0};
    std::string name;
    static short Class_Version() { return 4; }
  };
  struct Other {
    unsigned char byte{0};
    std::vector<short> shorts;
    static short Class_Version() { return 2; }
  };
  struct Animal : Base, Other {
    bool flag{false};
    char letter{0};
    long big{0};
    unsigned long long bigger{0};
    Colour colour{red};
    float row[3]{};
    int matrix[2][3]{};
    std::array<float, 4> fixed{};
    Double32_t plain32{0};
    Double32_t ranged32{0};  //[0,10,16]
    Double32_t mantissa32{0};  //[0,0,8]
    Float16_t half{0};  //[0,0,10]
    Float16_t plain16{0};
    Float16_t angle16{0};  //[-pi,pi,12]
    Double32_t spread32[2]{};  //[-5,5]
    Plain plain;
    Plain plains[2];
    std::vector<Plain> herd;
    std::vector<std::vector<float>> nested;
    std::vector<std::vector<Plain>> herds;
    std::vector<std::string> words;
    std::vector<Colour> colours;
    std::vector<bool> bits;
    std::vector<std::array<float, 2>> corners;  //|| (ROOT cannot split it)
    std::vector<Double32_t> many32;
    std::list<double> doubles;
    std::deque<unsigned short> deque;
    std::set<long> longs;
    std::map<int, std::string> texts;
    std::map<std::string, std::vector<int>> lists;
    std::map<int, Plain> plain_by_number;
    std::pair<int, float> two;
    std::vector<std::pair<std::string, Plain>> named;
    std::vector<std::pair<int, std::vector<float>>> tracks;
    Size size{Size::small};
    char label[8]{};
    TString text;
    std::tuple<int, float, std::string> three;
    std::unordered_map<int, float> unordered;
    std::vector<std::map<int, float>> maps;
    std::map<int, std::vector<Plain>> herd_by_number;
    std::vector<Base> bases;
    static short Class_Version() { return 5; }
  };
}
