# SQ_CUDA=AUTO takes the CUDA toolkit when it is there, ON demands it, OFF builds for the CPU alone. Sets
# SQ_WITH_CUDA. No GPU and no driver are needed to build, nor to run what was built.

set(SQ_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO (if nvcc 13 is found), ON or OFF")
set_property(CACHE SQ_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SQ_CUDA_ARCHITECTURES 80-real 86-real 89-real 90-real 100-real 120
    CACHE STRING "Compute capabilities of the CUDA kernels; the last one's PTX serves those to come")

set(SQ_WITH_CUDA OFF)
if(NOT SQ_CUDA STREQUAL OFF AND NOT SQ_FUZZ)  # which needs clang throughout
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES ${SQ_CUDA_ARCHITECTURES})
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit 12.8)
  endif()
  if(CUDAToolkit_FOUND)
    set(SQ_WITH_CUDA ON)
    if(SQ_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${SQ_CCACHE})
    endif()
  elseif(SQ_CUDA STREQUAL ON)
    message(FATAL_ERROR "SQ_CUDA=ON, but there is no CUDA toolkit of 12.8 or newer: put its nvcc on the PATH, "
                        "or pass -DCMAKE_CUDA_COMPILER=<path of nvcc>")
  endif()
endif()
